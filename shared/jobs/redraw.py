"""Draws the prompts of a batch again when its work begins.

Batches are made well ahead of the work; what the topics have yielded meanwhile is known only when one is claimed. The
ordinals that are passed over are not used later: others of their topic come.
"""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.topic_yields import read_topic_yields
from shared.database.parameters import int_array
from shared.ids import BatchId, DatasetId
from shared.jobs.steer import Ground, next_ordinals, passed_over
from shared.planning.mix import Cell
from shared.questions.atlas import DomainAtlas

LOCK_CURSOR = text("""
SELECT next_ordinal FROM prompt_cursor
WHERE dataset_id = :dataset_id AND domain = :domain AND difficulty = :difficulty FOR UPDATE
""")
MOVE_CURSOR = text("""
UPDATE prompt_cursor SET next_ordinal = :next_ordinal
WHERE dataset_id = :dataset_id AND domain = :domain AND difficulty = :difficulty
""")
REDRAW = text("UPDATE batch SET ordinals = CAST(:ordinals AS bigint[]) WHERE id = :batch_id")


async def redraw(
    conn: AsyncConnection,
    batch_id: BatchId,
    dataset_id: DatasetId,
    cell: Cell,
    ordinals: Sequence[int],
    *,
    seed: int,
    atlas: DomainAtlas,
) -> Sequence[int]:
    """The batch's ordinals, those of topics that do not bring enough any more replaced by new ones.

    In the transaction of its first claim, before any of its calls.
    """
    yields = await read_topic_yields(conn, dataset_id, domain=cell.domain, difficulty=cell.difficulty)
    ground = Ground(seed, atlas, yields.get(cell, {}))
    stale = set(passed_over(ground, cell, ordinals))
    if not stale:
        return ordinals
    names = {"dataset_id": dataset_id, "domain": cell.domain, "difficulty": cell.difficulty}
    first = (await conn.execute(LOCK_CURSOR, names)).scalar_one()
    fresh = next_ordinals(ground, cell, first, len(stale))
    await conn.execute(MOVE_CURSOR, {**names, "next_ordinal": fresh[-1] + 1})
    drawn = [*(each for each in ordinals if each not in stale), *fresh]
    await conn.execute(REDRAW, {"batch_id": batch_id, "ordinals": int_array(drawn)})
    return drawn
