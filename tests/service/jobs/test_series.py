from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.series import make_steps, read_series
from tests.service.jobs.past import live
from tests.service.jobs.world import execute, fetch

BEGAN = datetime(2026, 11, 26, 10, tzinfo=UTC)
CALL = """
INSERT INTO call (id, job_id, batch_id, stage, ordinal, attempt, fence, model, prompt, state, outcome, raw, worst_usd,
    cost_usd, sent_at, settled_at, parsed_at, generated, admitted)
VALUES (:id, :job_id, :batch_id, :stage, :ordinal, 1, 1, 'openai/gpt-6-luna', '{}', :state, 'x', '{}', 0, :cost,
    :sent, :settled, :parsed, :generated, :admitted)
"""


def id_at(time: datetime) -> UUID:
    return UUID(int=int(time.timestamp() * 1000) << 80 | uuid4().int % (1 << 80))


async def add_past(engine: AsyncEngine, job_id: JobId) -> None:
    """A hundred seconds: in each tenth of it one call of each stage, and one that fails; each costs a cent."""
    [batch] = await fetch(engine, "SELECT id FROM batch WHERE job_id = :id ORDER BY number LIMIT 1", id=job_id)
    ends = BEGAN + timedelta(seconds=100)
    await execute(
        engine, "UPDATE job SET created_at = :began, state = 'cancelled', finished_at = :ends WHERE id = :id",
        began=BEGAN, ends=ends, id=job_id,
    )  # fmt: skip
    for number in range(10):
        sent = BEGAN + timedelta(seconds=10 * number + 1)
        made: list[dict[str, Any]] = [
            {"stage": "generate", "state": "ok", "generated": 20, "admitted": 15},
            {"stage": "validate", "state": "ok", "generated": 10, "admitted": 9},
            {"stage": "answer", "state": "ok", "generated": 8, "admitted": 7},
            {"stage": "generate", "state": "failed", "generated": None, "admitted": None},
        ]
        for place, each in enumerate(made):
            times = {"sent": sent, "settled": sent + timedelta(seconds=place + 1)}
            parsed = times["settled"] if each["state"] == "ok" else None
            await execute(
                engine, CALL, id=id_at(sent), job_id=job_id, batch_id=batch[0], ordinal=number * 10 + place,
                cost=0.01, parsed=parsed, **times, **each,
            )  # fmt: skip
    await execute(engine, "UPDATE job_budget SET spent_usd = 0.4 WHERE job_id = :id", id=job_id)


def test_steps_cover_the_whole_time_in_whole_seconds() -> None:
    for seconds, points, expected in [(100, 10, (10, 10)), (101, 10, (11, 10)), (3, 120, (1, 3)), (0, 5, (1, 1))]:
        steps = make_steps(BEGAN, BEGAN + timedelta(seconds=seconds), points)
        assert (steps.seconds, steps.count) == expected
        assert steps.times[-1] >= steps.until
        assert steps.count <= points


async def test_a_small_jobs_series_is_exact(engine: AsyncEngine, job_id: JobId) -> None:
    await add_past(engine, job_id)
    series = await read_series(engine, job_id, points=10)
    assert (series["source"], series["sampled"], series["step_seconds"]) == ("ledger", [], 10)
    assert series["times"] == [BEGAN + timedelta(seconds=10 * n) for n in range(10)]
    counts = {"admitted": 15, "rejected": 5 + 1, "answered": 7, "calls": 4, "failed": 1}
    for name, count in counts.items():
        assert series[name] == [count] * 10, name
    assert series["latency_p50_ms"] == [2000.0] * 10
    assert series["latency_p95_ms"] == pytest.approx([2900.0] * 10)
    assert series["cost_usd"] == pytest.approx([0.04 * n for n in range(1, 11)])


async def test_a_large_jobs_series_comes_from_its_batches_and_some_calls(
    engine: AsyncEngine, job_id: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_past(engine, job_id)
    for number, (stage, seconds) in enumerate([("generate", 15), ("validate", 25), ("answer", 25)]):
        await execute(
            engine,
            """INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call,
                   first_ordinal, calls, state, fence, generated, admitted, calls_parsed, finished_at)
               VALUES (gen_random_uuid(), :job_id, :stage, 'math', 'easy', 100 + :number, 400, 20, 0, 20, 'done', 1,
                   400, 390, 20, :finished)""",
            job_id=job_id, stage=stage, number=number, finished=BEGAN + timedelta(seconds=seconds),
        )  # fmt: skip
    # By a worker's clock that is late.
    early = "UPDATE call SET id = :id WHERE job_id = :job_id AND ordinal = 3"
    await execute(engine, early, id=id_at(BEGAN - timedelta(seconds=2)), job_id=job_id)
    monkeypatch.setattr("shared.jobs.series.MOST_CALLS_READ", 39)
    series = await read_series(engine, job_id, points=10)
    assert (series["source"], series["sampled"]) == ("batches", ["latency_p50_ms", "latency_p95_ms", "cost_usd"])
    assert series["admitted"] == [0, 390, *[0] * 8]
    assert series["rejected"] == [0, 10, 10, *[0] * 7]
    assert series["answered"] == [0, 0, 390, *[0] * 7]
    assert series["calls"] == [0, 20, 40, *[0] * 7]
    assert series["failed"] == [1] * 10
    assert series["latency_p50_ms"] == [2000.0] * 10
    # A third of the calls by then, and all that was spent at the end.
    assert series["cost_usd"] == pytest.approx([0, 0.4 / 3, *[0.4] * 8], abs=1e-6)


async def test_what_workers_write_is_found(engine: AsyncEngine, job_id: JobId) -> None:
    await live(engine, job_id)
    series = await read_series(engine, job_id, points=5)
    sums = {name: sum(series[name]) for name in ("admitted", "rejected", "answered", "calls", "failed")}
    assert sums == {"admitted": 4, "rejected": 2, "answered": 0, "calls": 5, "failed": 2}
    [[spent]] = await fetch(engine, "SELECT spent_usd FROM job_budget WHERE job_id = :id", id=job_id)
    assert series["cost_usd"][-1] == pytest.approx(float(spent), abs=1e-6)


async def test_an_archived_job_has_no_series_and_none_is_not_found(engine: AsyncEngine, job_id: JobId) -> None:
    await execute(
        engine, "INSERT INTO job_archive (job_id, progress, calls, spent_usd) VALUES (:id, '{}', 0, 0)", id=job_id
    )
    series = await read_series(engine, job_id, points=5)
    assert (series["source"], series["times"], series["calls"], series["cost_usd"]) == ("archived", [], [], [])
    with pytest.raises(NotFound):
        await read_series(engine, JobId(uuid4()), points=5)
