"""Write what decide() asked for. Each statement re-checks what it relies on, so a late action changes nothing."""

from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.parameters import int_array
from shared.database.states import Stage
from shared.ids import BatchId, JobId, new_batch_id
from shared.jobs.actions import (
    Action,
    CreateBatch,
    DropFree,
    Fail,
    Hint,
    Park,
    Retarget,
    Select,
    StopCell,
    Succeed,
    TakeUp,
)
from shared.jobs.decide_later import is_done
from shared.jobs.observe import observe
from shared.planning.balance import Plan
from shared.planning.mix import Cell

# A claim that draws its prompts again takes them from the same pool: from here on it waits.
LOCK_CURSORS = text("""
SELECT domain, difficulty, next_ordinal FROM prompt_cursor
WHERE dataset_id = (SELECT dataset_id FROM job WHERE id = :job_id) AND (domain, difficulty) IN (
    SELECT * FROM unnest(CAST(:domains AS text[]), CAST(:difficulties AS text[])))
ORDER BY domain, difficulty FOR UPDATE
""")

CREATE = text("""
INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call, first_ordinal, calls,
    ordinals, in_bulk)
SELECT new.id, :job_id, 'generate', new.domain, new.difficulty, new.number, new.questions, new.questions_per_call,
    new.first_ordinal, new.calls, CAST(new.ordinals AS bigint[]), new.in_bulk
FROM unnest(CAST(:ids AS uuid[]), CAST(:domains AS text[]), CAST(:difficulties AS text[]), CAST(:numbers AS int[]),
    CAST(:questions AS int[]), CAST(:questions_per_call AS int[]), CAST(:first_ordinals AS bigint[]),
    CAST(:calls AS int[]), CAST(:ordinals AS text[]), CAST(:in_bulk AS boolean[]))
    AS new (id, domain, difficulty, number, questions, questions_per_call, first_ordinal, calls, ordinals, in_bulk)
""")

TAKE_ORDINALS = text("""
INSERT INTO prompt_cursor (dataset_id, domain, difficulty, next_ordinal)
SELECT job.dataset_id, batch.domain, batch.difficulty,
    MAX(COALESCE(batch.ordinals[batch.calls] + 1, batch.first_ordinal + batch.calls))
FROM batch JOIN job ON job.id = batch.job_id
WHERE batch.id = ANY (CAST(:ids AS uuid[]))
GROUP BY job.dataset_id, batch.domain, batch.difficulty
ON CONFLICT (dataset_id, domain, difficulty)
DO UPDATE SET next_ordinal = GREATEST(prompt_cursor.next_ordinal, excluded.next_ordinal)
""")

FREE = "(state = 'pending' OR state = 'leased' AND lease_until < clock_timestamp())"

# A batch whose row somebody has locked is not free, whatever it says: it is looked at again in the next tick. So the
# reconciler never waits for a worker here, and none of the two can wait in a circle.
PARK = text(f"""
UPDATE batch SET state = 'parked', reason = :reason, lease_until = NULL, worker = NULL, in_bulk = false,
    finished_at = clock_timestamp()
WHERE id = (SELECT id FROM batch WHERE id = :batch_id AND {FREE} FOR NO KEY UPDATE SKIP LOCKED)
""")  # noqa: S608 - FREE is a constant above

# What is with a provider, or has come back from there and is not read yet, stays.
DROP_FREE = text(f"""
UPDATE batch SET state = 'dropped', reason = :reason, lease_until = NULL, worker = NULL, in_bulk = false,
    finished_at = clock_timestamp()
WHERE id IN (
    SELECT id FROM batch
    WHERE job_id = :job_id AND stage = :stage AND domain = :domain AND difficulty = :difficulty AND {FREE}
      AND NOT EXISTS (SELECT FROM bulk_submission
          WHERE batch_id = batch.id AND (NOT batch.in_bulk OR state IN ('intended', 'submitted')))
    FOR NO KEY UPDATE SKIP LOCKED)
""")  # noqa: S608 - FREE is a constant above

# Who stopped a cell without saying of which stage, as the release before did, meant the first.
STOP_CELL = text("""
UPDATE job_cell SET stopped = concat_ws('; ', stopped, CAST(:reason AS text)), stopped_stage = :stage
WHERE job_id = :job_id AND domain = :domain AND difficulty = :difficulty
  AND (stopped IS NULL OR COALESCE(stopped_stage, 'generate') = ANY (CAST(:before AS text[])))
""")

# The state is asked for twice: what a person discarded while this statement ran stays discarded.
# DESIGN "Order": selection follows the keyed hash of the text, so the same questions lead to the same choice. What a
# later stage was paid for comes before what it was not, and what the job found and is to keep before all that it makes.
SELECT = text("""
WITH ranked AS (
    SELECT question.id, question.state, row_number() OVER (
        ORDER BY (job.spec ->> 'surplus' = 'keep' AND question.job_id IS DISTINCT FROM job.id) DESC,
            question.answered DESC, question.validated DESC,
            sha256(int8send(dataset.order_seed) || question.text_hash)) <= :target AS chosen
    FROM question JOIN job ON job.dataset_id = question.dataset_id JOIN dataset ON dataset.id = job.dataset_id
    WHERE job.id = :job_id AND question.domain = :domain AND question.difficulty = :difficulty
      AND question.state IN ('selected', 'reserve')
), changed AS (
    -- Locked in the order of their ids, like everybody does who changes several: nobody waits in a circle. Only what
    -- changes is looked up again: to look up every row takes several times as long as to rank them.
    SELECT question.id, ranked.chosen FROM question JOIN ranked ON ranked.id = question.id
    WHERE (ranked.state = 'selected') <> ranked.chosen ORDER BY question.id FOR NO KEY UPDATE OF question
)
UPDATE question SET state = CASE WHEN changed.chosen THEN 'selected' ELSE 'reserve' END
FROM changed
WHERE question.id = changed.id AND question.state IN ('selected', 'reserve')
  AND question.dataset_id = (SELECT dataset_id FROM job WHERE id = :job_id)
  AND question.domain = :domain AND question.difficulty = :difficulty
  AND (question.state = 'selected') <> changed.chosen
""")

# The same order as in SELECT: what is chosen last, when there is too much, is looked at last. A question that was no
# use before comes first: what becomes of it decides how many more are needed.
DUE = text("""
SELECT question.id FROM question JOIN job ON job.dataset_id = question.dataset_id
JOIN dataset ON dataset.id = job.dataset_id
WHERE job.id = :job_id AND question.domain = :domain AND question.difficulty = :difficulty
  AND question.state = 'selected' AND NOT (question.validated AND question.answered)
  AND CASE CAST(:stage AS text) WHEN 'validate' THEN NOT question.validated
      ELSE NOT question.answered AND (question.validated OR NOT job.spec -> 'stages' ? 'validate') END
  AND question.id NOT IN (
      SELECT unnest(question_ids) FROM batch
      WHERE batch.job_id = :job_id AND batch.stage = :stage AND batch.state IN ('pending', 'leased')
        AND batch.domain = :domain AND batch.difficulty = :difficulty)
ORDER BY question.tries DESC, sha256(int8send(dataset.order_seed) || question.text_hash) LIMIT :most
""")

CREATE_LATER = text("""
INSERT INTO batch (id, job_id, stage, domain, difficulty, number, questions, questions_per_call, first_ordinal, calls,
    question_ids, in_bulk)
VALUES (:id, :job_id, :stage, :domain, :difficulty, :number, :questions, :questions_per_call, 0, :calls,
    :question_ids, :in_bulk)
""")

LAST_PLAN = text("SELECT plan, version FROM job_plan WHERE job_id = :job_id ORDER BY version DESC LIMIT 1")
INSERT_PLAN = text("""
INSERT INTO job_plan (job_id, version, plan, reason) VALUES (:job_id, :version, CAST(:plan AS jsonb), :reason)
""")
SET_TARGET = text("""
UPDATE job_cell SET target = :target
WHERE job_id = :job_id AND domain = :domain AND difficulty = :difficulty AND target <> :target
""")

END = text("""
UPDATE job SET state = :state, reason = :reason, finished_at = clock_timestamp()
WHERE id = :job_id AND state = 'running'
""")

HINTED = text("""
UPDATE batch SET hinted_at = clock_timestamp()
WHERE id IN (SELECT id FROM batch WHERE id = ANY (CAST(:ids AS uuid[])) FOR NO KEY UPDATE SKIP LOCKED)
""")
# The mark of before must still be there: of two reconcilers that saw the same batch, one repeats its hint.
HINT_AGAIN = text("""
UPDATE batch SET hinted_at = clock_timestamp()
WHERE id IN (
    SELECT batch.id FROM batch
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:marks AS timestamptz[])) AS seen (id, hinted_at)
        ON seen.id = batch.id AND batch.hinted_at IS NOT DISTINCT FROM seen.hinted_at
    WHERE batch.state IN ('pending', 'leased') FOR NO KEY UPDATE OF batch SKIP LOCKED)
RETURNING id
""")
NOT_HINTED = text("UPDATE batch SET hinted_at = NULL WHERE id = ANY (CAST(:ids AS uuid[])) AND state = 'pending'")


async def apply(conn: AsyncConnection, job_id: JobId, actions: Sequence[Action]) -> list[Hint]:
    """Write the actions in the caller's transaction; returns the hints, which are published after its commit.

    A hint is marked before it is sent: marking it after would lock the row just when the hinted worker claims it.
    """
    created = [action for action in actions if isinstance(action, CreateBatch)]
    hints = [action for action in actions if isinstance(action, Hint)]
    if created:
        await create_batches(conn, job_id, created)
    for action in actions:
        await _write(conn, job_id, action)
    if hints:
        await conn.execute(HINTED, {"ids": [hint.batch.id for hint in hints]})
    return hints


async def create_batches(conn: AsyncConnection, job_id: JobId, wanted: Sequence[CreateBatch]) -> None:
    """Insert batches and take their prompt tuples out of the dataset's pool.

    Promise 6: none of a cell whose tuples a claim has drawn since the job was looked at. The next pass sees which.
    """
    wanted = await _drop_outrun(conn, job_id, wanted)
    if not wanted:
        return
    ids: list[UUID] = [new_batch_id() for _ in wanted]
    values = {
        "job_id": job_id,
        "ids": ids,
        "domains": [each.cell.domain for each in wanted],
        "difficulties": [each.cell.difficulty for each in wanted],
        "numbers": [each.number for each in wanted],
        "questions": [each.questions for each in wanted],
        "questions_per_call": [each.questions_per_call for each in wanted],
        "first_ordinals": [each.ordinals[0] for each in wanted],
        "calls": [len(each.ordinals) for each in wanted],
        "ordinals": [_listed(each.ordinals) for each in wanted],
        "in_bulk": [each.bulk for each in wanted],
    }
    await conn.execute(CREATE, values)
    await conn.execute(TAKE_ORDINALS, {"ids": ids})


async def _drop_outrun(conn: AsyncConnection, job_id: JobId, wanted: Sequence[CreateBatch]) -> list[CreateBatch]:
    """Those of cells all of whose tuples are free yet, and remain so until this transaction ends."""
    cells = {each.cell for each in wanted}
    names = {"domains": [cell.domain for cell in cells], "difficulties": [cell.difficulty for cell in cells]}
    cursors = {
        Cell(row.domain, row.difficulty): row.next_ordinal
        for row in await conn.execute(LOCK_CURSORS, {"job_id": job_id, **names})
    }
    outrun = {each.cell for each in wanted if each.ordinals[0] < cursors.get(each.cell, 0)}
    return [each for each in wanted if each.cell not in outrun]


def _listed(ordinals: Sequence[int]) -> str | None:
    """The ordinals of a batch that passes over some; None for a run without a gap."""
    is_run = ordinals[-1] - ordinals[0] + 1 == len(ordinals)
    return None if is_run else int_array(ordinals)


async def take_up(conn: AsyncConnection, job_id: JobId, wanted: TakeUp) -> None:
    """Insert batches of a later stage with the questions that are due and in no open batch, as far as there are any."""
    values = {**_keys(job_id, wanted.cell), "stage": wanted.stage, "most": sum(wanted.sizes)}
    ids = list((await conn.execute(DUE, values)).scalars())
    cuts = [sum(wanted.sizes[:place]) for place in range(len(wanted.sizes) + 1)]
    shares = [share for first, last in pairwise(cuts) if (share := ids[first:last])]
    for number, (share, calls) in enumerate(zip(shares, wanted.calls, strict=False), wanted.number):
        await conn.execute(
            CREATE_LATER,
            {
                **values,
                "id": new_batch_id(),
                "number": number,
                "questions": len(share),
                "questions_per_call": wanted.questions_per_call,
                "calls": calls,
                "question_ids": share,
                "in_bulk": wanted.bulk,
            },
        )


async def retarget(conn: AsyncConnection, job_id: JobId, wanted: Retarget) -> None:
    """Store another version of the plan and have the cells follow it."""
    row = (await conn.execute(LAST_PLAN, {"job_id": job_id})).one()
    plan = Plan.from_json(row.plan).with_targets(wanted.targets, wanted.means)
    values = {"job_id": job_id, "version": row.version + 1, "reason": wanted.reason}
    stored = {**row.plan, **plan.to_json()}
    await conn.execute(INSERT_PLAN, {**values, "plan": orjson.dumps(stored).decode()})
    for each in plan.cells:
        await conn.execute(SET_TARGET, {**_keys(job_id, each.cell), "target": each.target})


async def mark_hinted(conn: AsyncConnection, hints: Sequence[Hint]) -> list[Hint]:
    """Mark hints of any jobs; returns those whose batch is as it was seen, which are published after the commit."""
    seen = {"ids": [hint.batch.id for hint in hints], "marks": [hint.batch.hinted_at for hint in hints]}
    marked = set((await conn.execute(HINT_AGAIN, seen)).scalars())
    return [hint for hint in hints if hint.batch.id in marked]


async def unmark_hinted(conn: AsyncConnection, batch_ids: Sequence[BatchId]) -> None:
    """Forget hints that did not reach the broker, so that the next tick sends them."""
    await conn.execute(NOT_HINTED, {"ids": list(batch_ids)})


async def _write(conn: AsyncConnection, job_id: JobId, action: Action) -> None:
    match action:
        case Park(batch_id, reason):
            await conn.execute(PARK, {"batch_id": batch_id, "reason": reason})
        case DropFree(cell, reason, stage):
            await conn.execute(DROP_FREE, {**_keys(job_id, cell), "reason": reason, "stage": stage})
        case StopCell(cell, reason, stage):
            before = [each for each in Stage if each.position < stage.position]
            values = {**_keys(job_id, cell), "reason": reason, "stage": stage, "before": before}
            await conn.execute(STOP_CELL, values)
        case TakeUp():
            await take_up(conn, job_id, action)
        case Retarget():
            await retarget(conn, job_id, action)
        case Select(cell, target):
            await conn.execute(SELECT, {**_keys(job_id, cell), "target": target})
        case Succeed():
            await _succeed(conn, job_id)
        case Fail(reason):
            await conn.execute(END, {"job_id": job_id, "state": "failed", "reason": reason})
        case CreateBatch() | Hint():
            pass  # taken together by apply()


async def _succeed(conn: AsyncConnection, job_id: JobId) -> None:
    """Promise 2. The update waits for fenced writers and shuts later ones out; then the counts are looked at again."""
    async with conn.begin_nested() as savepoint:
        await conn.execute(END, {"job_id": job_id, "state": "succeeded", "reason": None})
        again = await observe(conn, job_id)
        if again.open_batches or not all(map(is_done, again.cells)):
            await savepoint.rollback()


def _keys(job_id: JobId, cell: Cell) -> dict[str, object]:
    return {"job_id": job_id, "domain": cell.domain, "difficulty": cell.difficulty}
