"""Jobs as a user posts them, a broker that can be away, and a look at the rows."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.fingerprint import fingerprint_many
from shared.database.fence import Hold
from shared.ids import BatchId, CallId, DatasetId, JobId, new_call_id
from shared.jobs.claim import ClaimedBatch, claim
from shared.jobs.decide import Limits
from shared.jobs.reconcile import HintMessage, reconcile_job
from shared.jobs.spec import JobSpec, parse_spec
from shared.jobs.submit import submit_job
from shared.planning.mix import Cell
from shared.settings import Settings

LIMITS = Limits(window_batches=24, hint_repeat=timedelta(seconds=30), max_attempts=3)
EASY = {"easy": {"token_share": 1, "mean_tokens": 15}}
MATH = Cell("math", "easy")


def make_spec(dataset: str, **changes: Any) -> JobSpec:
    """800 easy questions of mathematics: two batches of twenty calls."""
    mix = {"domains": {"math": 800}, "difficulties": EASY} | changes.pop("mix", {})
    return parse_spec({"dataset": dataset, "mix": mix, **changes})


async def submit(engine: AsyncEngine, settings: Settings, spec: JobSpec) -> JobId:
    job_id, created = await submit_job(engine, settings, spec, idempotency_key=None, request_hash=b"a test")
    assert created
    return job_id


class Broker:
    """Keeps what is published; `away` as long as nothing gets through."""

    def __init__(self) -> None:
        self.away = False
        self.hints: list[HintMessage] = []

    async def publish(self, messages: Sequence[HintMessage]) -> list[BatchId]:
        if self.away:
            return []
        self.hints += messages
        return [message.batch_id for message in messages]

    def take(self) -> list[BatchId]:
        """The ids hinted since the last look."""
        ids = [message.batch_id for message in self.hints]
        self.hints.clear()
        return ids


async def tick(engine: AsyncEngine, job_id: JobId, broker: Broker, limits: Limits = LIMITS) -> int:
    return await reconcile_job(engine, job_id, limits, broker.publish)


async def claim_as(
    engine: AsyncEngine, batch_id: BatchId, worker: str = "w", *, lease_seconds: float = 60, max_attempts: int = 3
) -> ClaimedBatch | None:
    async with engine.begin() as conn:
        return await claim(conn, batch_id, worker=worker, lease_seconds=lease_seconds, max_attempts=max_attempts)


async def batches_of(engine: AsyncEngine, job_id: JobId) -> list[Any]:
    async with engine.connect() as conn:
        rows = await conn.execute(
            text("SELECT * FROM batch WHERE job_id = :id ORDER BY domain, difficulty, number"), {"id": job_id}
        )
        return list(rows)


async def first_batch(engine: AsyncEngine, job_id: JobId) -> BatchId:
    return BatchId((await batches_of(engine, job_id))[0].id)


async def held_batch(engine: AsyncEngine, job_id: JobId) -> ClaimedBatch:
    batch = await claim_as(engine, await first_batch(engine, job_id))
    assert batch is not None
    return batch


async def execute(engine: AsyncEngine, statement: str, **values: object) -> None:
    async with engine.begin() as conn:
        await conn.execute(text(statement), values)


async def fetch(engine: AsyncEngine, statement: str, **values: object) -> list[tuple[Any, ...]]:
    async with engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(statement), values)]


async def expire(engine: AsyncEngine, batch_id: BatchId) -> None:
    """Let a lease be over, as if its holder had not been heard of for a while."""
    past = "lease_until = clock_timestamp() - interval '1 s'"
    await execute(engine, f"UPDATE batch SET {past} WHERE id = :id", id=batch_id)


async def add_questions(engine: AsyncEngine, name: str, texts: Sequence[str], *, cell: Cell = MATH) -> DatasetId:
    """Baseline rows of one cell, in the order given."""
    async with engine.begin() as conn:
        named = await conn.execute(
            text(
                "INSERT INTO dataset (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = :name RETURNING id"
            ),
            {"name": name},
        )
        dataset_id = DatasetId(named.scalar_one())
        await conn.execute(
            text("""
            INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version,
                prompt_tokens, tokenizer)
            SELECT :dataset_id, :domain, :difficulty, text, hash, 0, 1, 15, 'o200k_base'
            FROM unnest(CAST(:texts AS text[]), CAST(:hashes AS bytea[])) AS fresh (text, hash)
            """),
            {
                "dataset_id": dataset_id,
                "domain": cell.domain,
                "difficulty": cell.difficulty,
                "texts": list(texts),
                "hashes": [its.text_hash for its in fingerprint_many(list(texts))],
            },
        )
    return dataset_id


async def add_call(engine: AsyncEngine, hold: Hold, *, ordinal: int = 0, raw: str = "{}") -> CallId:
    """A paid reply of the batch that waits to be parsed."""
    call_id = new_call_id()
    await execute(
        engine,
        """INSERT INTO call (id, job_id, batch_id, ordinal, attempt, fence, model, prompt, state, outcome, raw,
               worst_usd, cost_usd, settled_at)
           VALUES (:id, :job_id, :batch_id, :ordinal, 1, :fence, 'openai/gpt-6-luna', '{}', 'ok', 'ok', :raw, 0, 0,
               clock_timestamp())""",
        id=call_id,
        job_id=hold.job_id,
        batch_id=hold.batch_id,
        ordinal=ordinal,
        fence=hold.fence,
        raw=raw,
    )
    return call_id


async def pid_of(conn: AsyncConnection) -> int:
    return int((await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def until_blocked_by(engine: AsyncEngine, pid: int) -> None:
    """Return once somebody waits for a lock that this backend holds."""
    blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE :pid = ANY (pg_blocking_pids(pid)))"
    async with asyncio.timeout(10):
        while (await fetch(engine, blocked, pid=pid)) != [(True,)]:  # noqa: ASYNC110 - a waiting backend sends no event
            await asyncio.sleep(0.005)
