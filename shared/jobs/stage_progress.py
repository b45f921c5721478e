"""How far each stage of a job is, what it has cost beside what was forecast, and what the rest will cost."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.states import Stage
from shared.ids import JobId
from shared.jobs.experience import Spent, spent_by_stage
from shared.money import format_usd
from shared.planning.left import Spending, Stand, cost_of, left_of, pass_rate

# What a person calls the results of a stage.
RESULTS = {Stage.GENERATE: "generated", Stage.VALIDATE: "validated", Stage.ANSWER: "answered"}


async def read_stages(
    conn: AsyncConnection,
    job_id: JobId,
    stages: Sequence[Stage],
    *,
    forecast: Mapping[str, Any] | None,
    cells: Sequence[Mapping[str, Any]],
    judged: Mapping[tuple[str, str, str], Mapping[str, int]],
) -> list[dict[str, Any]]:
    """One entry for each stage. `cells` are the job's, with what counts in each; `judged` is what its batches dealt
    with and what passed, by stage, domain and difficulty; `forecast` is the first one, None of an older job.
    """
    spent = await spent_by_stage(conn, [job_id])
    spending = _spending(spent, forecast)
    left: dict[str, dict[str, int]] = {stage: defaultdict(int) for stage in stages}
    for cell in cells:
        seen = judged.get((Stage.VALIDATE, cell["domain"], cell["difficulty"]), {})
        rate = pass_rate(seen.get("generated", 0), seen.get("admitted", 0))
        for stage, count in left_of(_stand(cell), stages, rate).items():
            left[stage][cell["difficulty"]] += count
    costs = cost_of(left, spending)
    forecasts = {each["stage"]: each for each in (forecast or {}).get("stages", [])}
    return [
        _stage(
            stage,
            _sum(spent, stage),
            forecast=forecasts.get(stage),
            judged=judged,
            left=sum(left[stage].values()),
            cost_usd=costs[stage],
        )
        for stage in stages
    ]


def tell_what_is_left(progress: Mapping[str, Any], spent_usd: Decimal) -> str:
    """What is done, what is missing, and what that would cost, as a person wants to read it when money runs out."""
    stages = progress["stages"]
    counts = {"generate": progress["selected"], "validate": progress["validated"], "answer": progress["answered"]}
    done = ", ".join(f"{counts[each['stage']]:,} {RESULTS[Stage(each['stage'])]}" for each in stages)
    missing = ", ".join(
        f"{each['left']['questions']:,} to {each['stage']} (about {format_usd(each['left']['cost_usd'])})"
        for each in stages
        if each["left"]["questions"]
    )
    cost = sum(Decimal(str(each["left"]["cost_usd"])) for each in stages)
    return (
        f"Done: {done}, of {progress['target']:,} questions. Missing: {missing or 'nothing'}; "
        f"with that the job would cost about {format_usd(round(spent_usd + cost, 4))}"
    )


def _stand(cell: Mapping[str, Any]) -> Stand:
    names = ("difficulty", "target", "selected", "reserve", "validated", "reserve_validated", "answered")
    return Stand(**{name: cell[name] for name in names})


def _spending(
    spent: Mapping[tuple[Stage, str], Spent], forecast: Mapping[str, Any] | None
) -> dict[tuple[str, str], Spending]:
    """By stage and difficulty."""
    expected: dict[tuple[str, str], tuple[int, Decimal]] = {
        (each["stage"], difficulty): (its["questions"], Decimal(its["cost_usd"]))
        for each in (forecast or {}).get("stages", [])
        for difficulty, its in each["by_difficulty"].items()
    }
    merged: dict[tuple[str, str], Spending] = {}
    for key in {*expected, *((str(stage), difficulty) for stage, difficulty in spent)}:
        its = spent.get((Stage(key[0]), key[1]), Spent())
        merged[key] = Spending(its.results, its.cost_usd, *expected.get(key, (0, Decimal(0))))
    return merged


def _sum(spent: Mapping[tuple[Stage, str], Spent], stage: Stage) -> Spent:
    total = Spent()
    for (of_stage, _), its in spent.items():
        if of_stage is stage:
            total = total + its
    return total


def _stage(
    stage: Stage,
    spent: Spent,
    *,
    forecast: Mapping[str, Any] | None,
    judged: Mapping[tuple[str, str, str], Mapping[str, int]],
    left: int,
    cost_usd: Decimal,
) -> dict[str, Any]:
    of_stage = [its for (name, _, _), its in judged.items() if name == stage]
    return {
        "stage": str(stage),
        "judged": sum(its.get("generated", 0) for its in of_stage),
        "passed": sum(its.get("admitted", 0) for its in of_stage),
        "forecast": forecast and _shown(forecast),
        "actual": {
            "questions": spent.results,
            "calls": spent.calls,
            "input_tokens": spent.input_tokens,
            "output_tokens": spent.output_tokens,
            "cost_usd": round(float(spent.cost_usd), 6),
        },
        "left": {"questions": left, "cost_usd": round(float(cost_usd), 6)},
    }


def _shown(forecast: Mapping[str, Any]) -> dict[str, Any]:
    """In the form of what it is compared with."""
    counts = {name: forecast[name] for name in ("questions", "calls", "input_tokens", "output_tokens")}
    return {**counts, "cost_usd": round(float(forecast["cost_usd"]), 6)}
