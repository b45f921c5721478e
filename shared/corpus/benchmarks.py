"""The benchmarks that a dataset must not hold: stored as hashes, and looked up by those of questions."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.contamination import LEAST_GRAMS, IndexedItem, Item, Match, asked_keys, index_items, match
from shared.corpus.grams import TRACE_VERSION, Trace
from shared.database.parameters import int_array
from shared.database.states import MatchKind
from shared.ids import DatasetId

ITEMS_PER_WRITE = 1_000
# Items with one key in common: where more have it, they are one question with many numbers.
MOST_ITEMS_PER_KEY = 100
KINDS = tuple(MatchKind)

IS_GUARDED = text("SELECT EXISTS (SELECT FROM benchmark WHERE dataset_id = :dataset_id)")
DIGEST = text("SELECT digest FROM benchmark WHERE dataset_id = :dataset_id AND name = :name")
INSERT_BENCHMARK = text("""
    INSERT INTO benchmark (dataset_id, name, source, digest, items)
    VALUES (:dataset_id, :name, :source, :digest, :items) RETURNING id
""")
# In the order given, so that ids come back as the rows went in.
INSERT_ITEMS = text("""
    INSERT INTO benchmark_item (benchmark_id, reference, grams, shingles)
    SELECT :benchmark_id, fresh.reference, fresh.grams, fresh.shingles
    FROM json_to_recordset(CAST(:rows AS json)) AS fresh (place int, reference text, grams int, shingles bigint[])
    ORDER BY fresh.place
    RETURNING id
""")
INSERT_KEYS = text("""
    INSERT INTO benchmark_key (dataset_id, key, item_id)
    SELECT :dataset_id, fresh.key, fresh.item_id
    FROM unnest(CAST(:keys AS bigint[]), CAST(:item_ids AS bigint[])) AS fresh (key, item_id)
    ORDER BY fresh.key
""")
DELETE_BENCHMARK = (
    text("""
        DELETE FROM benchmark_key USING benchmark_item JOIN benchmark ON benchmark.id = benchmark_item.benchmark_id
        WHERE benchmark.dataset_id = :dataset_id AND benchmark.name = :name
            AND benchmark_key.dataset_id = :dataset_id AND benchmark_key.item_id = benchmark_item.id
    """),
    text("DELETE FROM benchmark WHERE dataset_id = :dataset_id AND name = :name"),
)
# The LATERAL keeps the work bounded however many items share a key, and looks each key up in the index.
FIND_HITS = text("""
    SELECT asked.place, asked.kind, found.item_id, count(*) AS n
    FROM unnest(CAST(:places AS int[]), CAST(:kinds AS int[]), CAST(:keys AS bigint[])) AS asked (place, kind, key)
    CROSS JOIN LATERAL (
        SELECT item_id FROM benchmark_key
        WHERE dataset_id = :dataset_id AND key = asked.key
        ORDER BY item_id LIMIT :most
    ) AS found
    GROUP BY asked.place, asked.kind, found.item_id
""")
READ_ITEMS = text("""
    SELECT benchmark_item.id, benchmark.name, benchmark_item.reference, benchmark_item.grams, benchmark_item.shingles
    FROM benchmark_item JOIN benchmark ON benchmark.id = benchmark_item.benchmark_id
    WHERE benchmark_item.id = ANY(CAST(:ids AS bigint[]))
""")

# Of one question, how many keys of each kind an item shares with it.
Hits = Mapping[int, Mapping[MatchKind, int]]


async def is_guarded(conn: AsyncConnection, dataset_id: DatasetId) -> bool:
    """Whether any benchmark was loaded for the dataset: all that admission pays where there is none."""
    return bool((await conn.execute(IS_GUARDED, {"dataset_id": dataset_id})).scalar_one())


async def store_benchmark(
    conn: AsyncConnection, dataset_id: DatasetId, name: str, items: Sequence[tuple[str, Trace]], *, source: str | None
) -> bool:
    """Store a set in place of what had its name. False: it is stored already, and nothing was written."""
    indexed = await asyncio.to_thread(index_items, items)
    digest = await asyncio.to_thread(_digest, indexed)
    of_set = {"dataset_id": dataset_id, "name": name}
    if (await conn.execute(DIGEST, of_set)).scalar_one_or_none() == digest:
        return False
    await delete_benchmark(conn, dataset_id, name)
    row = {**of_set, "source": source, "digest": digest, "items": len(indexed)}
    benchmark_id = (await conn.execute(INSERT_BENCHMARK, row)).scalar_one()
    for first in range(0, len(indexed), ITEMS_PER_WRITE):
        some = indexed[first : first + ITEMS_PER_WRITE]
        rows = [
            {"place": place, "reference": each.reference, "grams": each.grams, "shingles": each.shingles}
            for place, each in enumerate(some)
        ]
        given = {"benchmark_id": benchmark_id, "rows": orjson.dumps(rows).decode()}
        ids = sorted((await conn.execute(INSERT_ITEMS, given)).scalars())
        pairs = [(key, item_id) for item_id, each in zip(ids, some, strict=True) for key in dict.fromkeys(each.keys)]
        keys = {"keys": int_array(key for key, _ in pairs), "item_ids": int_array(item_id for _, item_id in pairs)}
        await conn.execute(INSERT_KEYS, {"dataset_id": dataset_id, **keys})
    return True


async def delete_benchmark(conn: AsyncConnection, dataset_id: DatasetId, name: str) -> bool:
    """Delete a set; False when there is none of that name. What was flagged by it stays flagged."""
    deleted = 0
    for statement in DELETE_BENCHMARK:
        deleted = (await conn.execute(statement, {"dataset_id": dataset_id, "name": name})).rowcount
    return deleted > 0


async def find_matches(conn: AsyncConnection, dataset_id: DatasetId, traces: Sequence[Trace]) -> list[list[Match]]:
    """Of each question the items that it is like, at most one of each benchmark, the best match first."""
    by_place = await _find_hits(conn, dataset_id, traces)
    items = await _read_items(conn, {item_id for hits in by_place.values() for item_id in hits})
    found: list[list[Match]] = [[] for _ in traces]
    for place, hits in by_place.items():
        by_set: dict[str, dict[Item, Mapping[MatchKind, int]]] = defaultdict(dict)
        for item_id, counts in hits.items():
            by_set[items[item_id].benchmark][items[item_id]] = counts
        matches = [match(traces[place], of_set) for of_set in by_set.values()]
        found[place] = sorted((each for each in matches if each is not None), key=Match.order)
    return found


async def _find_hits(conn: AsyncConnection, dataset_id: DatasetId, traces: Sequence[Trace]) -> dict[int, Hits]:
    asked = [(place, KINDS.index(kind), key) for place, its in enumerate(traces) for kind, key in asked_keys(its)]
    rows = await conn.execute(
        FIND_HITS,
        {
            "dataset_id": dataset_id,
            "places": int_array(place for place, _, _ in asked),
            "kinds": int_array(kind for _, kind, _ in asked),
            "keys": int_array(key for _, _, key in asked),
            "most": MOST_ITEMS_PER_KEY,
        },
    )
    hits: dict[int, dict[int, Counter[MatchKind]]] = defaultdict(lambda: defaultdict(Counter))
    for place, kind, item_id, n in rows:
        if KINDS[kind] is not MatchKind.GRAMS or n >= LEAST_GRAMS:
            hits[place][item_id][KINDS[kind]] = n
    return dict(hits)


async def _read_items(conn: AsyncConnection, ids: set[int]) -> dict[int, Item]:
    if not ids:
        return {}
    rows = await conn.execute(READ_ITEMS, {"ids": int_array(sorted(ids))})
    return {row.id: Item(row.name, row.reference, row.grams, frozenset(row.shingles)) for row in rows}


def _digest(items: Sequence[IndexedItem]) -> bytes:
    """Of all that is stored of them, in their order."""
    whole: list[Any] = [TRACE_VERSION, *((each.reference, each.keys, each.grams, each.shingles) for each in items)]
    return sha256(orjson.dumps(whole)).digest()[:16]
