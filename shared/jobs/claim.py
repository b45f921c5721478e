"""Claim, renew, release and finish: the whole life of a worker's hold on a batch.

Only the database's clock decides whether a lease has expired (FAULTS 12), and every new hold gets a higher fence,
so that whoever held the batch before can no longer write for it (FAULTS 5).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.stages import StageTerms, terms_of
from shared.database.fence import Hold, confirm_hold
from shared.database.parameters import json_rows
from shared.database.states import Stage
from shared.ids import BatchId, CallId, DatasetId, JobId, QuestionId
from shared.jobs.atlases import find_atlas
from shared.jobs.redraw import redraw
from shared.jobs.spec import Novelty
from shared.planning.mix import Cell
from shared.questions.atlas import DomainAtlas


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """A batch and the hold on it.

    One that generates has a call for each of its prompt tuples; `novelty` says how those are drawn, `atlas` from what.
    One of a later stage has `question_ids` and the `terms` by which they are asked about. `gates` are the switches of
    the job's spec, none for a job that is older than they are. `bulk`: its calls go in bulk submissions. `rehearsal`:
    its models are to be those of the rehearsal server. `written` are the ends of its lease that the claim and its
    repetitions have written, of which the database may know any; `traceparent` is of the job's POST.
    """

    hold: Hold
    written: Sequence[datetime]
    dataset: str
    stage: Stage
    cell: Cell
    number: int
    questions: int
    questions_per_call: int
    ordinals: Sequence[int]
    attempts: int
    seed: int
    model: str
    mean_tokens: int
    atlas: DomainAtlas
    novelty: Novelty
    gates: Mapping[str, bool]
    answer_tokens: int
    question_ids: Sequence[QuestionId] = ()
    terms: StageTerms | None = None
    bulk: bool = False
    rehearsal: bool = False
    traceparent: str | None = None


# The inner SELECT skips a row that another claim holds, so five copies of one hint cost nothing (FAULTS 6).
# `attempts` counts before the work: a batch that kills its process every time runs out of them (FAULTS 7).
CLAIM = text("""
WITH free AS (
    SELECT batch.id, batch.job_id, batch.state, batch.fence, batch.worker
    FROM batch JOIN job ON job.id = batch.job_id
    WHERE batch.id = :batch_id AND job.state = 'running' AND batch.attempts < :max_attempts AND NOT batch.in_bulk
      AND (batch.state = 'pending' OR batch.state = 'leased' AND batch.lease_until < clock_timestamp())
    FOR NO KEY UPDATE OF batch SKIP LOCKED
), expired AS (
    INSERT INTO incident (job_id, batch_id, kind, fence, worker)
    SELECT job_id, id, 'lease_expired', fence, worker FROM free WHERE state = 'leased'
)
UPDATE batch SET
    state = 'leased', fence = batch.fence + 1, attempts = attempts + 1, worker = :worker,
    lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
FROM free WHERE batch.id = free.id
RETURNING batch.id, batch.job_id, stage, domain, difficulty, number, questions, questions_per_call, first_ordinal,
    calls, ordinals, question_ids, batch.fence, attempts, lease_until
""")

# FAULTS 18: a claim whose COMMIT got through although its client was not told. Its fence is no proof, nor is its
# transaction's number: a crash of the database takes both back, and the next claim gets the same. A microsecond of the
# database's clock, which nobody has renewed yet, is the claim's own.
RECOGNISE = text("""
UPDATE batch SET lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
WHERE id = :batch_id AND fence = :fence AND state = 'leased' AND worker = :worker
  AND lease_until = ANY (CAST(:written AS timestamptz[]))
RETURNING lease_until
""")

DESCRIBE = text("""
SELECT job.dataset_id, dataset.name AS dataset, job.seed, job_cell.mean_tokens, job_cell.answer_tokens,
    job.spec -> 'models' -> CAST(:stage AS text) ->> CAST(:difficulty AS text) AS model,
    CASE WHEN CAST(:stage AS text) <> 'generate' THEN job.spec END AS spec,
    job.spec -> 'atlas' ->> CAST(:domain AS text) AS atlas, job.spec -> 'novelty' AS novelty,
    COALESCE(job.spec -> 'gates', '{}') AS gates, job.traceparent, job.rehearsal,
    COALESCE(job.spec -> 'mode' ->> CAST(:stage AS text) = 'bulk', false) AS bulk
FROM job JOIN dataset ON dataset.id = job.dataset_id
JOIN job_cell ON job_cell.job_id = job.id AND job_cell.domain = :domain AND job_cell.difficulty = :difficulty
WHERE job.id = :job_id
""")

# What a batch is, for the keeper of bulk submissions, who needs no hold on it.
READ_IN_BULK = text("""
SELECT id, job_id, stage, domain, difficulty, number, questions, questions_per_call, first_ordinal, calls, ordinals,
    question_ids, fence, attempts, NULL AS lease_until
FROM batch WHERE id = :batch_id AND state = 'pending' AND in_bulk
""")

# In the order of their ids, like a cancel: two that lock the same rows never wait for each other.
RENEW = text("""
UPDATE batch SET lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
WHERE id IN (
    SELECT batch.id FROM batch
    JOIN unnest(CAST(:batch_ids AS uuid[]), CAST(:fences AS int[])) AS held (id, fence)
        ON batch.id = held.id AND batch.fence = held.fence
    WHERE batch.state = 'leased' ORDER BY batch.id FOR NO KEY UPDATE OF batch)
RETURNING id
""")

# A clean release is no failed attempt; a rolling deploy must not use them up. What counts as hinted just now is hinted
# again only when an unclaimed hint would be repeated.
RELEASE = text("""
UPDATE batch SET state = 'pending', lease_until = NULL, worker = NULL, attempts = 0, in_bulk = :in_bulk,
    hinted_at = CASE WHEN CAST(:rests AS boolean) THEN clock_timestamp() END
WHERE id = :batch_id AND fence = :fence AND state = 'leased'
""")

RECORD_CALLS = text("""
UPDATE call SET generated = judged.generated, admitted = judged.admitted
FROM json_to_recordset(CAST(:judged AS json)) AS judged (call_id uuid, generated int, admitted int)
WHERE call.id = judged.call_id
""")

RECORD_BATCHES = text("""
UPDATE batch SET generated = batch.generated + judged.generated, admitted = batch.admitted + judged.admitted,
    attempts = 0, calls_parsed = calls_parsed + judged.parsed, calls_given_up = calls_given_up + judged.given_up,
    rejected = (SELECT COALESCE(jsonb_object_agg(key, n), '{}') FROM (
        SELECT key, SUM(value::int) AS n FROM (
            SELECT * FROM jsonb_each_text(batch.rejected) UNION ALL
            SELECT * FROM jsonb_each_text(judged.rejected)) AS both_sides GROUP BY key) AS summed),
    repaired = (SELECT COALESCE(jsonb_object_agg(key, n), '{}') FROM (
        SELECT key, SUM(value::int) AS n FROM (
            SELECT * FROM jsonb_each_text(batch.repaired) UNION ALL
            SELECT * FROM jsonb_each_text(judged.repaired)) AS both_sides GROUP BY key) AS summed)
FROM json_to_recordset(CAST(:judged AS json)) AS judged (
    batch_id uuid, fence int, generated int, admitted int, parsed int, given_up int, rejected jsonb, repaired jsonb)
WHERE batch.id = judged.batch_id AND batch.fence = judged.fence AND batch.state = 'leased'
""")

# A hold that has ended its batch is not stale, even if it does not know so: COMMIT's answer was lost (FAULTS 18).
IS_FINISHED = text("SELECT EXISTS (SELECT FROM batch WHERE id = :batch_id AND fence = :fence AND state = 'done')")
FINISH = text("""
UPDATE batch SET state = 'done', lease_until = NULL, worker = NULL, finished_at = clock_timestamp()
WHERE id = :batch_id AND fence = :fence AND state = 'leased'
""")


async def claim(
    conn: AsyncConnection,
    batch_id: BatchId,
    *,
    worker: str,
    lease_seconds: float,
    max_attempts: int,
    earlier: ClaimedBatch | None = None,
) -> ClaimedBatch | None:
    """Take the batch, or None when it is unknown, finished, held by another, or its job does not run.

    `earlier` is what a try of the same claim returned before its COMMIT, whose outcome is unknown. When it is in effect
    it is the answer: otherwise the batch would rest for a lease, held by one who does not know it (FAULTS 18).
    """
    values = {"batch_id": batch_id, "worker": worker, "lease_seconds": lease_seconds}
    if earlier is not None:
        its = {"fence": earlier.hold.fence, "written": list(earlier.written)}
        if renewed := (await conn.execute(RECOGNISE, {**values, **its})).scalar_one_or_none():
            return replace(earlier, written=(*earlier.written, renewed))
    row = (await conn.execute(CLAIM, {**values, "max_attempts": max_attempts})).mappings().one_or_none()
    if row is None:
        return None
    return await _describe(conn, row)


async def read_in_bulk(conn: AsyncConnection, batch_id: BatchId) -> ClaimedBatch | None:
    """The batch as a claim would give it, for whoever submits its calls in bulk; None when it is not there for that.

    Its `hold` has the present fence and names the batch; it does not stand.
    """
    row = (await conn.execute(READ_IN_BULK, {"batch_id": batch_id})).mappings().one_or_none()
    return None if row is None else await _describe(conn, row)


async def _describe(conn: AsyncConnection, row: RowMapping) -> ClaimedBatch:
    about = (await conn.execute(DESCRIBE, dict(row))).mappings().one()
    hold = Hold(
        job_id=JobId(row["job_id"]),
        dataset_id=DatasetId(about["dataset_id"]),
        batch_id=BatchId(row["id"]),
        fence=row["fence"],
    )
    stage, cell = Stage(row["stage"]), Cell(row["domain"], row["difficulty"])
    novelty = Novelty.model_validate(about["novelty"] or {})
    atlas = await find_atlas(conn, cell.domain, about["atlas"])
    ordinals = row["ordinals"] or range(row["first_ordinal"], row["first_ordinal"] + row["calls"])
    if stage is Stage.GENERATE and novelty.steer and hold.fence == 1 and not about["bulk"]:
        ordinals = await redraw(conn, hold.batch_id, hold.dataset_id, cell, ordinals, seed=about["seed"], atlas=atlas)
    return ClaimedBatch(
        hold=hold,
        written=() if row["lease_until"] is None else (row["lease_until"],),
        dataset=about["dataset"],
        stage=stage,
        cell=cell,
        number=row["number"],
        questions=row["questions"],
        questions_per_call=row["questions_per_call"],
        ordinals=ordinals,
        attempts=row["attempts"],
        seed=about["seed"],
        model=about["model"],
        mean_tokens=about["mean_tokens"],
        atlas=atlas,
        novelty=novelty,
        gates=about["gates"],
        traceparent=about["traceparent"],
        answer_tokens=about["answer_tokens"],
        question_ids=row["question_ids"] or (),
        terms=None if stage is Stage.GENERATE else terms_of(about["spec"], stage, cell.difficulty),
        bulk=about["bulk"],
        rehearsal=about["rehearsal"],
    )


async def renew(conn: AsyncConnection, holds: Sequence[Hold], *, lease_seconds: float) -> set[BatchId]:
    """Renew the leases of these holds; returns the batches that are still held. The others are lost."""
    values = {
        "batch_ids": [hold.batch_id for hold in holds],
        "fences": [hold.fence for hold in holds],
        "lease_seconds": lease_seconds,
    }
    return {BatchId(row.id) for row in await conn.execute(RENEW, values)}


async def release(conn: AsyncConnection, hold: Hold, *, in_bulk: bool = False, rests: bool = False) -> bool:
    """Give the batch back unfinished, free to be claimed at once, or for its calls to go `in_bulk`.

    One that `rests` is hinted no sooner than a hint that nobody has taken. False when the hold was lost.
    """
    values = {"batch_id": hold.batch_id, "fence": hold.fence, "in_bulk": in_bulk, "rests": rests}
    return (await conn.execute(RELEASE, values)).rowcount == 1


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one call of a batch: candidates generated and admitted, refusals and repairs by reason."""

    hold: Hold
    call_id: CallId
    generated: int = 0
    admitted: int = 0
    parsed: int = 0
    given_up: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)


async def record_settled(conn: AsyncConnection, hold: Hold, *, passed: int, rejected: Mapping[str, int]) -> None:
    """Add questions to the counts of a batch that needed no call of it: their results were there."""
    counts = {"generated": passed + sum(rejected.values()), "admitted": passed, "parsed": 0, "given_up": 0}
    names = {"batch_id": hold.batch_id, "fence": hold.fence}
    judged = [{**names, **counts, "rejected": rejected, "repaired": {}}]
    await conn.execute(RECORD_BATCHES, {"judged": json_rows(judged)})


async def record_judged(conn: AsyncConnection, judged: Sequence[Judged]) -> None:
    """Add calls' counts to their rows and their batches, inside the fenced transaction that admits their questions."""
    calls = [{"call_id": each.call_id, "generated": each.generated, "admitted": each.admitted} for each in judged]
    await conn.execute(RECORD_CALLS, {"judged": json_rows(calls)})
    by_hold: dict[Hold, list[Judged]] = {}
    for each in judged:
        by_hold.setdefault(each.hold, []).append(each)
    sums = [
        {
            "batch_id": hold.batch_id,
            "fence": hold.fence,
            "generated": sum(each.generated for each in its),
            "admitted": sum(each.admitted for each in its),
            "parsed": sum(each.parsed for each in its),
            "given_up": sum(each.given_up for each in its),
            "rejected": _sum_counts(each.rejected for each in its),
            "repaired": _sum_counts(each.repaired for each in its),
        }
        for hold, its in by_hold.items()
    ]
    await conn.execute(RECORD_BATCHES, {"judged": json_rows(sums)})


def _sum_counts(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    summed: Counter[str] = Counter()
    for each in counts:
        summed.update(each)
    return summed


async def finish(conn: AsyncConnection, hold: Hold) -> None:
    """End the batch: every call of it is parsed or given up; again is harmless. Raises FencedOff or JobNotRunning."""
    names = {"batch_id": hold.batch_id, "fence": hold.fence}
    if (await conn.execute(IS_FINISHED, names)).scalar_one():
        return
    await confirm_hold(conn, hold)
    await conn.execute(FINISH, names)
