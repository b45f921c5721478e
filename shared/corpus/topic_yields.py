"""How each topic of a dataset's cell fares: what it still yields, and how much it may still hold.

A row for each topic, written in the transaction that admits its questions, under the dataset's admission lock: writers
take turns there anyway, so these sums need no other lock and count each reply once.

The pool of a topic is estimated by capture and recapture over its replies (Schnabel 1938): with C_t candidates in reply
t of which R_t were known, and M_t known before it, N = sum(C_t * M_t) / (sum(R_t) + 1). Favourites come again sooner
than others, which makes the estimate too low: it says how much is left at least.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.parameters import json_rows
from shared.ids import DatasetId
from shared.planning.mix import Cell

# The moving average forgets half of what it knew over this many candidates: three replies of twenty.
HALF_LIFE_CANDIDATES = 60
# So many repeats weigh as much as what the other topics of the cell say about how large a topic's pool is.
PRIOR_RECAPTURES = 3

# Replies of one topic that are admitted together count as one: their order among each other says nothing.
RECORD = text("""
INSERT INTO topic_yield AS known (
    dataset_id, domain, difficulty, topic, generated, admitted, recent, marked, recaptured)
SELECT :dataset_id, fresh.domain, fresh.difficulty, fresh.topic, fresh.generated, fresh.admitted,
    power(0.5, fresh.generated / :half_life) + (1 - power(0.5, fresh.generated / :half_life))
        * fresh.admitted / fresh.generated, 0, fresh.repeats
FROM json_to_recordset(CAST(:fresh AS json)) AS fresh (
    domain text, difficulty text, topic text, generated float8, admitted float8, repeats bigint)
ON CONFLICT (dataset_id, domain, difficulty, topic) DO UPDATE SET
    generated = known.generated + excluded.generated,
    admitted = known.admitted + excluded.admitted,
    -- What a first reply makes of an average of 1, it makes of any: recent moves by the same share of the way.
    recent = LEAST(1, GREATEST(0, known.recent * power(0.5, excluded.generated / :half_life)
        + excluded.recent - power(0.5, excluded.generated / :half_life))),
    marked = known.marked + (excluded.admitted + excluded.recaptured) * CAST(known.admitted AS float8),
    recaptured = known.recaptured + excluded.recaptured
""")
READ = text("""
SELECT domain, difficulty, topic, generated, admitted, recent, marked, recaptured FROM topic_yield
WHERE dataset_id = :dataset_id AND (CAST(:domain AS text) IS NULL OR domain = :domain)
    AND (CAST(:difficulty AS text) IS NULL OR difficulty = :difficulty)
ORDER BY domain, difficulty, topic
""")


@dataclass(frozen=True, slots=True)
class Harvest:
    """What one reply brought of a topic: candidates, those admitted, and those that repeat a known question."""

    cell: Cell
    topic: str
    generated: int
    admitted: int
    repeats: int


@dataclass(frozen=True, slots=True)
class TopicYield:
    """How a topic has fared in a cell so far. `recent` is the moving average of its yield."""

    topic: str
    generated: int = 0
    admitted: int = 0
    recent: float = 1.0
    marked: float = 0.0
    recaptured: int = 0


async def record_harvests(conn: AsyncConnection, dataset_id: DatasetId, harvests: Iterable[Harvest]) -> None:
    """Add what replies brought to the rows of their topics, inside the transaction that admits it."""
    sums: dict[tuple[Cell, str], list[int]] = {}
    for each in harvests:
        counts = sums.setdefault((each.cell, each.topic), [0, 0, 0])
        for place, count in enumerate((each.generated, each.admitted, each.repeats)):
            counts[place] += count
    fresh = [
        {
            "domain": cell.domain,
            "difficulty": cell.difficulty,
            "topic": topic,
            "generated": generated,
            "admitted": admitted,
            "repeats": repeats,
        }
        for (cell, topic), (generated, admitted, repeats) in sums.items()
        if generated
    ]
    if fresh:
        values = {"dataset_id": dataset_id, "fresh": json_rows(fresh), "half_life": float(HALF_LIFE_CANDIDATES)}
        await conn.execute(RECORD, values)


async def read_topic_yields(
    conn: AsyncConnection, dataset_id: DatasetId, *, domain: str | None = None, difficulty: str | None = None
) -> dict[Cell, dict[str, TopicYield]]:
    """The topics that were asked about, of all cells or of some."""
    found: dict[Cell, dict[str, TopicYield]] = {}
    for row in await conn.execute(READ, {"dataset_id": dataset_id, "domain": domain, "difficulty": difficulty}):
        its = TopicYield(row.topic, row.generated, row.admitted, row.recent, row.marked, row.recaptured)
        found.setdefault(Cell(row.domain, row.difficulty), {})[row.topic] = its
    return found


def estimate_pools(topics: Sequence[str], yields: Mapping[str, TopicYield]) -> dict[str, float] | None:
    """How many questions each topic holds at least, known ones included; None while hardly anything has come again.

    A topic that has seen few repeats is taken to be like the others: `PRIOR_RECAPTURES` of its repeats would have come
    at the rate of all topics together.
    """
    marked = sum(each.marked for each in yields.values())
    recaptured = sum(each.recaptured for each in yields.values())
    if recaptured < PRIOR_RECAPTURES or marked <= 0:
        return None
    typical = marked / (recaptured + 1)
    pools = {}
    for topic in topics:
        its = yields.get(topic, TopicYield(topic))
        estimate = (its.marked + PRIOR_RECAPTURES * typical) / (its.recaptured + PRIOR_RECAPTURES)
        pools[topic] = max(float(its.admitted), estimate)
    return pools
