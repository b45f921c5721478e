"""A job with a past: calls of every kind, questions, refusals, an incident, and money that adds up."""

from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.export import export_jsonl
from shared.database.fence import Hold, confirm_hold
from shared.ids import CallId, JobId, new_call_id
from shared.jobs.claim import ClaimedBatch, Judged, record_judged
from shared.jobs.control import cancel_job
from shared.jobs.incidents import note_fenced_off
from shared.llm.ledger import NewCall, Settlement, book_unknown, mark_parsed, open_call, settle_calls
from shared.llm.provider import LLMReply, Outcome, Usage
from tests.service.factories import admit_reply
from tests.service.jobs.world import execute, expire, fetch, held_batch

MODEL = "openai/gpt-6-luna"
TEXTS = [
    "How many legs do nine spiders have?",
    "Which number comes after forty-one?",
    "What is half of a dozen?",
    "Why is zero neither positive nor negative?",
]
RAW = '{"questions": ["Größe?"]}'
PAID = LLMReply(Outcome.OK, raw=RAW, usage=Usage(100, 300), http_status=200)
COST = Decimal("0.000130000001")
WORST = Decimal("0.01")


async def live(engine: AsyncEngine, job_id: JobId) -> Hold:
    """Two calls parsed (four questions, two refused), one paid and never parsed, one failed, one lost."""
    batch = await held_batch(engine, job_id)
    first, second, _unread = [await paid(engine, batch.hold, ordinal) for ordinal in range(3)]
    await judged(engine, batch, first, TEXTS[:2], flawed=["Too \0 odd?"])
    await judged(engine, batch, second, [*TEXTS[2:], TEXTS[0]])
    failed = await opened(engine, batch.hold, 3)
    await opened(engine, batch.hold, 4)
    async with engine.begin() as conn:
        await settle_calls(
            conn, [Settlement(failed, LLMReply(Outcome.OVERLOADED, http_status=529, raw="busy"), Decimal(0))]
        )
        await note_fenced_off(conn, batch.hold, worker="stale")
    await expire(engine, batch.hold.batch_id)
    async with engine.begin() as conn:
        assert await book_unknown(conn, batch_id=batch.hold.batch_id) == 1
    return batch.hold


async def end(engine: AsyncEngine, job_id: JobId, *, days_ago: float) -> None:
    await cancel_job(engine, job_id)
    past = "finished_at = clock_timestamp() - make_interval(secs => :seconds)"
    await execute(engine, f"UPDATE job SET {past} WHERE id = :id", id=job_id, seconds=days_ago * 86_400)


async def opened(engine: AsyncEngine, hold: Hold, ordinal: int) -> CallId:
    call_id = new_call_id()
    async with engine.begin() as conn:
        await open_call(conn, NewCall(hold, call_id=call_id, ordinal=ordinal, model=MODEL, prompt={}, worst_usd=WORST))
    return call_id


async def paid(engine: AsyncEngine, hold: Hold, ordinal: int) -> CallId:
    call_id = await opened(engine, hold, ordinal)
    async with engine.begin() as conn:
        await settle_calls(conn, [Settlement(call_id, PAID, COST)])
    return call_id


async def judged(
    engine: AsyncEngine, batch: ClaimedBatch, call_id: CallId, texts: list[str], *, flawed: list[str] | None = None
) -> int:
    """Admit a reply's questions as a worker does; returns how many were new."""
    flaws = [("control character", each) for each in flawed or []]
    async with engine.begin() as conn:
        await confirm_hold(conn, batch.hold)
        assert await mark_parsed(conn, [call_id])
        admission = await admit_reply(conn, batch.hold, *texts, cell=batch.cell, call_id=call_id, flawed=flaws)
        rejected = {"exact": len(admission.refused), "control character": len(flaws)}
        generated, new = len(texts) + len(flaws), len(admission.admitted)
        counted = Judged(batch.hold, call_id, generated=generated, admitted=new, parsed=1, rejected=rejected)
        await record_judged(conn, [counted])
    return len(admission.admitted)


async def rows_of(engine: AsyncEngine, job_id: JobId) -> dict[str, int]:
    """How many rows each table that may be pruned has of the job."""
    tables = ("call", "batch", "rejection", "incident", "job_archive")
    counts = ", ".join(f"(SELECT COUNT(*) FROM {table} WHERE job_id = :id)" for table in tables)
    [row] = await fetch(engine, f"SELECT {counts}", id=job_id)
    return dict(zip(tables, row, strict=True))


async def everything_kept(engine: AsyncEngine, job_id: JobId, dataset: str) -> dict[str, Any]:
    """What no prune may change: the export, byte for byte, and every row that later jobs depend on."""
    kept: dict[str, Any] = {"export": b"".join([chunk async for chunk in export_jsonl(engine, dataset)])}
    of_job = dict.fromkeys(("job_plan", "job_cell", "job_budget"), "job_id") | {"job": "id"}
    for table, column in of_job.items():
        kept[table] = await fetch(engine, f"SELECT * FROM {table} WHERE {column} = :id ORDER BY 1, 2, 3", id=job_id)
    for table in ("question", "question_band", "prompt_cursor"):
        of_dataset = "dataset_id = (SELECT dataset_id FROM job WHERE id = :id)"
        kept[table] = await fetch(engine, f"SELECT * FROM {table} WHERE {of_dataset} ORDER BY 1, 2, 3", id=job_id)
    return kept
