"""Turn a spec into a plan, a forecast and warnings, given what the dataset holds. Writes nothing."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.states import Stage
from shared.errors import FieldError, UnusableModel
from shared.ids import DatasetId
from shared.jobs.atlases import read_atlases
from shared.jobs.models import choose_models, configured_providers
from shared.jobs.spec import JobSpec
from shared.llm.prices import model_warnings, price_of, worst_case
from shared.llm.provider import Usage
from shared.planning.balance import Plan, make_plan
from shared.planning.forecast import Forecast, make_forecast
from shared.planning.mix import Cell
from shared.planning.warnings import mean_warnings, rounding_warnings
from shared.questions.atlas import DomainAtlas, load_atlas
from shared.questions.gates.table import switch_gates
from shared.questions.prompts import distinct_tuples, max_output_tokens
from shared.settings import Settings

# DESIGN: an omitted budget is 1.5 times the forecast.
BUDGET_FACTOR = Decimal("1.5")
# Each call holds its worst case, several times its likely price: a tiny job must still be able to send its last ones.
BUDGET_LEAST_CALLS = 20
# A reply of about this size keeps the share of the prompt small and a lost reply cheap (20 x 15 or 2 x 750 tokens).
TOKENS_PER_REPLY = 1_500
MOST_QUESTIONS_PER_CALL = 20
# A prompt with its instructions and its avoid list, at most.
PROMPT_BYTES = 6_000
# The forecast's guess of how long a model takes for a reply; a real run replaces it by what it measures.
SECONDS_PER_CALL = 6.0
# The forecast assumes the two worker processes of a default start.
WORKERS_ASSUMED = 2

FIND_DATASET = text("SELECT id FROM dataset WHERE name = :name")
CELLS = text("""
SELECT domain, difficulty, SUM(questions)::bigint AS have, SUM(prompt_tokens)::float / SUM(questions) AS mean_tokens
FROM question_count WHERE dataset_id = :dataset_id AND state IN ('selected', 'reserve')
GROUP BY domain, difficulty
""")
HAS_REAL_OR_REHEARSED = text("""
SELECT EXISTS (SELECT FROM job WHERE dataset_id = :dataset_id AND rehearsal <> :rehearsal) AS mixed
""")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A spec with nothing left open, and what it leads to.

    Of atlases that the user brought, the spec names the digests only. `distinct_prompts` counts, for each cell, its
    tuples of topic, subtopic, form and setting.
    """

    spec: JobSpec
    plan: Plan
    forecast: Forecast
    warnings: tuple[str, ...]
    rehearsal: bool
    distinct_prompts: Mapping[Cell, int]

    def to_json(self) -> dict[str, object]:
        """The answer of POST /v1/plans."""
        plan = self.plan.to_json()
        cells = [
            {**shown, "distinct_prompts": self.distinct_prompts[each.cell]}
            for shown, each in zip(plan["cells"], self.plan.cells, strict=True)
        ]
        return {
            **plan,
            "cells": cells,
            "forecast": self.forecast.to_json(),
            "warnings": list(self.warnings),
            "spec": self.spec.model_dump(mode="json"),
            "rehearsal": self.rehearsal,
        }


def warm_up(settings: Settings) -> None:
    """Read the atlas and the price list, for which the first plan of a process would wait some 200 ms."""
    load_atlas()
    nothing = Usage(input_tokens=0, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
    for model in settings.cheap_models:
        with suppress(UnusableModel):
            price_of(model, nothing, settings.prices)


async def plan_job(engine: AsyncEngine, settings: Settings, spec: JobSpec) -> PlannedJob:
    """What the job would do and cost, given what the dataset holds now.

    Raises InfeasibleMix, or UnusableModel for a model without a configured provider or a price.
    """
    async with engine.connect() as conn:
        dataset_id = (await conn.execute(FIND_DATASET, {"name": spec.dataset})).scalar_one_or_none()
        return await make_planned_job(conn, settings, spec, dataset_id)


async def make_planned_job(
    conn: AsyncConnection, settings: Settings, spec: JobSpec, dataset_id: DatasetId | None
) -> PlannedJob:
    """What plan_job does, in the caller's transaction; `dataset_id` is None for a dataset that does not exist yet."""
    rows = (await conn.execute(CELLS, {"dataset_id": dataset_id})).all()
    have = {Cell(row.domain, row.difficulty): int(row.have) for row in rows}
    means = {Cell(row.domain, row.difficulty): float(row.mean_tokens) for row in rows}
    providers = await configured_providers(conn)
    mixed = (
        await conn.execute(HAS_REAL_OR_REHEARSED, {"dataset_id": dataset_id, "rehearsal": providers.rehearsal})
    ).scalar_one()
    mix = spec.mix.to_mix()
    plan = make_plan(mix, have, spec.surplus)
    models = choose_models(spec, providers, settings)
    per_call = {
        name: spec.questions_per_call.get(name) or _questions_per_call(each.mean_tokens)
        for name, each in spec.mix.difficulties.items()
    }
    dearest = max(_worst_calls(settings, models, per_call, spec).values())

    def cost_per_call(stage: Stage | str, difficulty: str, input_tokens: int, output_tokens: int) -> Decimal:
        usage = Usage(input_tokens=input_tokens, cached_tokens=0, output_tokens=output_tokens, reasoning_tokens=0)
        return price_of(models[Stage(stage)][difficulty], usage, settings.prices)

    forecast = make_forecast(
        plan,
        stages=spec.stages,
        questions_per_call=per_call,
        cost_per_call=cost_per_call,
        calls_in_flight=settings.calls_in_flight * WORKERS_ASSUMED,
        seconds_per_call=SECONDS_PER_CALL,
    )
    budget = spec.budget_usd
    if budget is None:
        budget = max(forecast.cost_usd * BUDGET_FACTOR, forecast.cost_usd + dearest * BUDGET_LEAST_CALLS)
        budget = budget.quantize(Decimal("0.0001"))
    planned_cells = {cell.cell for cell in plan.cells}
    outside = sum(count for cell, count in have.items() if cell not in planned_cells)
    used = [model for by_difficulty in models.values() for model in by_difficulty.values()]
    atlases = await read_atlases(conn, spec.mix.domains, spec.atlas)
    distinct = {each.cell: distinct_tuples(atlases[each.cell.domain], each.cell.difficulty) for each in plan.cells}
    warnings = [
        *model_warnings(sorted(set(used)), settings.prices, datetime.now(UTC).date()),
        *mean_warnings(mix, means, have),
        *rounding_warnings(mix, plan),
        *_atlas_warnings(plan, atlases, distinct, per_call),
        *_other_warnings(spec, outside=outside, mixed=mixed, budget=budget, forecast=forecast),
    ]
    digests = {domain: digest for domain, atlas in atlases.items() if (digest := atlas.digest) is not None}
    filled = spec.model_copy(
        update={
            "models": models,
            "questions_per_call": per_call,
            "budget_usd": budget,
            "atlas": digests,
            "gates": switch_gates(spec.gates),
        }
    )
    return PlannedJob(filled, plan, forecast, tuple(warnings), providers.rehearsal, distinct)


def _questions_per_call(mean_tokens: Decimal) -> int:
    return max(1, min(MOST_QUESTIONS_PER_CALL, int(TOKENS_PER_REPLY / mean_tokens)))


def _worst_calls(
    settings: Settings, models: Mapping[Stage, Mapping[str, str]], per_call: Mapping[str, int], spec: JobSpec
) -> dict[str, Decimal]:
    """The worst case of one call per model and difficulty; asking also finds the models that have no price."""
    worst: dict[str, Decimal] = {}
    problems: list[FieldError] = []
    for stage, by_difficulty in models.items():
        for difficulty, model in by_difficulty.items():
            mean = ceil(spec.mix.difficulties[difficulty].mean_tokens)
            room = max_output_tokens(per_call[difficulty], mean)
            try:
                worst[f"{stage}.{difficulty}"] = worst_case(model, PROMPT_BYTES, room, settings.prices)
            except UnusableModel as error:
                problems.append(FieldError(f"models.{stage}.{difficulty}", error.detail))
    if problems:
        raise UnusableModel(problems[0].msg, problems)
    return worst


def _atlas_warnings(
    plan: Plan, atlases: Mapping[str, DomainAtlas], distinct: Mapping[Cell, int], per_call: Mapping[str, int]
) -> list[str]:
    """What makes prompts repeat themselves: a domain without an atlas, and one that is small for what is asked."""
    warnings = [
        f"{domain}: no atlas for this domain; prompts vary less, so expect more repeats (docs/atlas.md: bring your own)"
        for domain, atlas in atlases.items()
        if not atlas.known
    ]
    for each in plan.cells:
        calls = ceil(each.generate / per_call[each.cell.difficulty])
        if calls > distinct[each.cell]:
            warnings.append(
                f"{each.cell}: {calls:,} calls draw on {distinct[each.cell]:,} distinct prompts; more topics, forms or "
                "settings in its atlas would keep it from repeating itself"
            )
    return warnings


def _other_warnings(spec: JobSpec, *, outside: int, mixed: bool, budget: Decimal, forecast: Forecast) -> list[str]:
    warnings = []
    if outside:
        warnings.append(f"{outside:,} existing questions lie outside the mix; they are kept but not selected")
    if mixed:
        warnings.append(f"dataset {spec.dataset} would hold both rehearsed and real questions")
    if budget < forecast.cost_usd:
        warnings.append(f"the budget of ${budget:f} is below the forecast of ${forecast.cost_usd:.4f}")
    return warnings
