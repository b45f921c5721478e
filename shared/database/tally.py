"""Fold changes into tallies, so that whoever adds up a count reads few rows. Promise 8.

Triggers append a row to NAME_change for each statement that changes what counts; nobody waits for anybody there. A
change is either still there or in NAME_tally, at any moment and for every reader: it is moved by one statement.
"""

from sqlalchemy import Table, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.tables import (
    batch_change,
    batch_tally,
    call_change,
    call_tally,
    question_change,
    question_tally,
)

# So many changes are moved at once; they are gathered within seconds, and more are left to the next time.
MOST_CHANGES = 20_000
# Two that fold take turns: not for the sums' sake, but because the second would only wait for the first one's rows.
TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(734604, 0)")


def _fold(changes: Table, tally: Table) -> TextClause:
    """Take changes away and add them to the tally, in one statement. Rows that somebody else is deleting are left."""
    keys = [column.name for column in tally.primary_key]
    sums = [column.name for column in tally.columns if column.name not in keys]
    named, by = ", ".join([*keys, *sums]), ", ".join(keys)
    # All names are those of shared/database/tables.py.
    return text(f"""
        WITH taken AS (
            DELETE FROM {changes.name} WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM {changes.name} LIMIT :most FOR UPDATE SKIP LOCKED))
            RETURNING {named}), added AS (
            INSERT INTO {tally.name} AS tally ({named})
            SELECT {by}, {", ".join(f"SUM({each})" for each in sums)} FROM taken GROUP BY {by} ORDER BY {by}
            ON CONFLICT ({by}) DO UPDATE SET {", ".join(f"{each} = tally.{each} + excluded.{each}" for each in sums)})
        SELECT {keys[0]} AS owner, COUNT(*) AS changes FROM taken GROUP BY 1
    """)  # noqa: S608


def _drop_empty(tally: Table) -> TextClause:
    """What has come and gone again leaves no row. Its owner is named: the others are not looked at."""
    keys = [column.name for column in tally.primary_key]
    empty = " AND ".join(f"{column.name} = 0" for column in tally.columns if column.name not in keys)
    return text(f"DELETE FROM {tally.name} WHERE {keys[0]} = ANY (:owners) AND {empty}")  # noqa: S608 - as above


FOLDS = tuple(
    (_fold(changes, tally), _drop_empty(tally))
    for changes, tally in ((question_change, question_tally), (batch_change, batch_tally), (call_change, call_tally))
)


async def fold_changes(engine: AsyncEngine) -> None:
    """Fold what has gathered, of all datasets and jobs, in short transactions."""
    for fold, drop_empty in FOLDS:
        while await _fold_some(engine, fold, drop_empty) == MOST_CHANGES:
            pass


async def _fold_some(engine: AsyncEngine, fold: TextClause, drop_empty: TextClause) -> int:
    """How many changes were folded; none while somebody else is folding."""
    async with engine.begin() as conn:
        if not (await conn.execute(TRY_LOCK)).scalar_one():
            return 0
        folded = (await conn.execute(fold, {"most": MOST_CHANGES})).all()
        if folded:
            await conn.execute(drop_empty, {"owners": list({row.owner for row in folded})})
        return sum(row.changes for row in folded)
