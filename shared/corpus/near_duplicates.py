"""The near-duplicates of a whole dataset: found by the bands, compared as admission compares, put into clusters.

A baseline is hash-deduplicated only, so it may hold some; what a job admits is near none of what was there. They are
reported, never deleted. Equal questions do not occur: a unique index holds them off.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.candidate_pairs import CandidatePairs
from shared.corpus.clusters import Clusters
from shared.corpus.duplicates import NEAR_SIMILARITY
from shared.corpus.export_rows import ALLOW_SLOW_READERS
from shared.corpus.find_dataset import find_dataset
from shared.corpus.guards import Guard, guard_between_marks
from shared.corpus.marks import Marks, read_marks
from shared.corpus.normalise import normalise
from shared.corpus.similarity import similarities
from shared.database.parameters import int_array

# Longer questions are not compared: the shingles of one of a megabyte take some 100 MB.
MOST_CHARACTERS_COMPARED = 50_000
MOST_MEMBERS_SHOWN = 50
CHARACTERS_SHOWN = 300
QUESTIONS_PER_CHUNK = 20_000
# Bands are spread evenly over all 64-bit numbers, so a slice of these holds 12 bands of so many questions.
QUESTIONS_PER_SLICE = 10_000
PAIRS_PER_CHUNK = 500
IDS_PER_STATEMENT = 5_000

# One view of the dataset from beginning to end, while jobs go on.
ONE_VIEW = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
COUNT = text("SELECT COALESCE(SUM(questions), 0)::bigint FROM question_count WHERE dataset_id = :dataset_id")
SKETCHES = text("""
    SELECT id, CAST(CAST(sketch AS bit(64)) AS bigint), CAST(CAST(sketch << 64 AS bit(64)) AS bigint)
    FROM question WHERE dataset_id = :dataset_id
""")
# One slice of the index after the other: each takes a fraction of a second and little memory, however many there are.
SHARED_BANDS = text("""
    SELECT array_agg(question_id ORDER BY question_id) FROM question_band
    WHERE dataset_id = :dataset_id AND band BETWEEN :first AND :last GROUP BY band HAVING count(*) > 1
""")
TEXTS = text("""
    SELECT id, text FROM question WHERE id = ANY(CAST(:ids AS bigint[])) AND char_length(text) <= :most_characters
""")
TALLY = text("""
    SELECT domain, difficulty, COALESCE(job_id::text, 'baseline') AS source, count(*) AS questions FROM question
    WHERE id = ANY(CAST(:ids AS bigint[])) GROUP BY domain, difficulty, job_id
""")
MEMBERS = text("""
    SELECT id, domain, difficulty, state, COALESCE(job_id::text, 'baseline') AS source, text FROM question
    WHERE id = ANY(CAST(:ids AS bigint[]))
""")

Json = dict[str, Any]


@dataclass(slots=True)
class _Compared:
    """What came of the pairs so far."""

    clusters: Clusters = field(default_factory=Clusters)
    near: int = 0
    told_apart: Counter[Guard] = field(default_factory=Counter)
    too_long: int = 0


async def report_near_duplicates(engine: AsyncEngine, dataset: str, *, most_clusters: int) -> AsyncIterator[bytes]:
    """JSON lines: `progress` ..., one `report`, a `cluster` for each of the largest clusters, an `end`.

    Memory stays bounded (see candidate_pairs) and no lock is held. Raises NotFound before the first line.
    """
    async with engine.connect() as conn:
        await conn.execute(ONE_VIEW)
        await conn.execute(ALLOW_SLOW_READERS)
        dataset_id = await find_dataset(conn, dataset)
        questions = int((await conn.execute(COUNT, {"dataset_id": dataset_id})).scalar_one())
        yield _progress("reading", 0, questions)
        collected: list[CandidatePairs] = []
        async with aclosing(_collect(conn, dataset_id, questions, collected)) as lines:
            async for line in lines:
                yield line
        compared = _Compared()
        pairs = await asyncio.to_thread(collected.pop().pairs)
        for first in range(0, len(pairs), PAIRS_PER_CHUNK):
            yield _progress("comparing", first, len(pairs))
            some = [(int(newer), int(older)) for newer, older in pairs[first : first + PAIRS_PER_CHUNK]]
            await _compare(conn, some, compared)
        clusters = await asyncio.to_thread(compared.clusters.largest_first)
        totals = {"dataset": dataset, "questions": questions, "pairs": {"compared": len(pairs), "near": compared.near}}
        yield _line("report", {**totals, **await _describe(conn, clusters, compared)})
        for members in clusters[:most_clusters]:
            yield _line("cluster", await _show(conn, members))
        yield _line("end", {"clusters": min(len(clusters), most_clusters)})


async def _collect(
    conn: AsyncConnection, dataset_id: int, questions: int, collected: list[CandidatePairs]
) -> AsyncGenerator[bytes]:
    """Appends the pairs worth comparing, once all sketches and then all bands are read."""
    ids, words, sketched = [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)], [np.empty(0, np.bool_)]
    read = 0
    # A server-side cursor; used as a context manager, it would stay open when a reader stops early.
    result = await conn.stream(SKETCHES, {"dataset_id": dataset_id})
    try:
        async for rows in result.partitions(QUESTIONS_PER_CHUNK):
            ids.append(np.fromiter((row[0] for row in rows), np.int64, len(rows)))
            words.append(np.array([(row[1] or 0, row[2] or 0) for row in rows], dtype=np.int64).view(np.uint64))
            sketched.append(np.fromiter((row[1] is not None for row in rows), np.bool_, len(rows)))
            read += len(rows)
            yield _progress("reading", read, questions)
    finally:
        await result.close()
    pairs = CandidatePairs(np.concatenate(ids), np.concatenate(words), np.concatenate(sketched))
    ids, words, sketched = [], [], []
    slices = 1 + questions // QUESTIONS_PER_SLICE
    bounds = [-(2**63) + place * 2**64 // slices for place in range(slices + 1)]
    for place, (first, after) in enumerate(pairwise(bounds), 1):
        shared = await conn.execute(SHARED_BANDS, {"dataset_id": dataset_id, "first": first, "last": after - 1})
        await asyncio.to_thread(pairs.add, [row[0] for row in shared])
        yield _progress("pairing", place * questions // slices, questions)
    collected.append(pairs)


async def _compare(conn: AsyncConnection, pairs: Sequence[tuple[int, int]], compared: _Compared) -> None:
    wanted = {"ids": int_array({each for pair in pairs for each in pair}), "most_characters": MOST_CHARACTERS_COMPARED}
    texts: dict[int, str] = {row.id: row.text for row in await conn.execute(TEXTS, wanted)}
    present = [pair for pair in pairs if pair[0] in texts and pair[1] in texts]
    compared.too_long += len(pairs) - len(present)
    await asyncio.to_thread(_compare_texts, present, texts, compared)


def _compare_texts(pairs: Sequence[tuple[int, int]], texts: Mapping[int, str], compared: _Compared) -> None:
    places = {question_id: place for place, question_id in enumerate(texts)}
    measured = similarities(
        [normalise(each) for each in texts.values()], [(places[newer], places[older]) for newer, older in pairs]
    )
    marks: dict[int, Marks] = {}
    for pair, similarity in zip(pairs, measured, strict=True):
        if similarity < NEAR_SIMILARITY:
            continue
        for each in pair:
            if each not in marks:
                marks[each] = read_marks(texts[each])
        guard = guard_between_marks(marks[pair[0]], marks[pair[1]])
        if guard is None:
            compared.near += 1
            compared.clusters.join(*pair)
        else:
            compared.told_apart[guard] += 1


async def _describe(conn: AsyncConnection, clusters: Sequence[Sequence[int]], compared: _Compared) -> Json:
    """The numbers of the report."""
    cells: Counter[tuple[str, str]] = Counter()
    sources: Counter[str] = Counter()
    for ids in _pieces([each for members in clusters for each in members]):
        for domain, difficulty, source, questions in await conn.execute(TALLY, {"ids": int_array(ids)}):
            cells[domain, difficulty] += questions
            sources[source] += questions
    return {
        "in_clusters": sum(map(len, clusters)),
        "clusters": len(clusters),
        "largest": len(clusters[0]) if clusters else 0,
        "cells": [
            {"domain": domain, "difficulty": difficulty, "questions": questions}
            for (domain, difficulty), questions in sorted(cells.items())
        ],
        "sources": [{"source": source, "questions": questions} for source, questions in sorted(sources.items())],
        "told_apart": {guard.value: count for guard, count in sorted(compared.told_apart.items())},
        "too_long": compared.too_long,
    }


async def _show(conn: AsyncConnection, members: Sequence[int]) -> Json:
    """A cluster: its first members, each with its similarity to the first of all."""
    rows = (await conn.execute(MEMBERS, {"ids": int_array(members[:MOST_MEMBERS_SHOWN])})).all()
    shown = sorted(rows, key=lambda row: row.id)
    to_first = await asyncio.to_thread(_similarities_to_first, [row.text for row in shown])
    return {
        "size": len(members),
        "members": [
            {
                "id": row.id,
                "domain": row.domain,
                "difficulty": row.difficulty,
                "state": row.state,
                "source": row.source,
                "similarity": round(similarity, 3),
                "text": _shortened(row.text),
            }
            for row, similarity in zip(shown, to_first, strict=True)
        ],
    }


def _similarities_to_first(texts: Sequence[str]) -> list[float]:
    folded = [normalise(each) for each in texts]
    return [1.0, *similarities(folded, [(0, place) for place in range(1, len(folded))])]


def _shortened(question: str) -> str:
    """The middle of a long text goes: two that differ at all often do so at the end."""
    if len(question) <= CHARACTERS_SHOWN:
        return question
    half = CHARACTERS_SHOWN // 2
    return f"{question[:half]} \N{HORIZONTAL ELLIPSIS} {question[-half:]}"


def _pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(ids), IDS_PER_STATEMENT):
        yield ids[first : first + IDS_PER_STATEMENT]


def _progress(phase: str, done: int, total: int) -> bytes:
    return _line("progress", {"phase": phase, "done": done, "total": total})


def _line(kind: str, content: Json) -> bytes:
    return orjson.dumps({kind: content}, option=orjson.OPT_APPEND_NEWLINE)
