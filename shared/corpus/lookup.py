"""What a dataset holds that could be like some texts: by hash, by shared bands, by template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.duplicates import Known
from shared.corpus.fingerprint import Fingerprint
from shared.corpus.minhash import SKETCH_BITS, SKETCH_DISTANCE, similar_sketches
from shared.database.parameters import bit_string, int_array
from shared.ids import DatasetId, QuestionId

# How many questions of one band are looked at, newest first, and how many neighbours of one candidate are compared.
# A fuller band is the boilerplate of a template: what is near in more than that shares an emptier band too.
QUESTIONS_PER_BAND = 400
NEIGHBOURS_PER_CANDIDATE = 100

# What was admitted since a lookup ahead, if it is so much at most, is held against every candidate.
MOST_LATER = 1000

# Whatever their state: a discarded question still blocks its repeats.
FIND_EXACT = text("""
    SELECT text_hash, id FROM question
    WHERE dataset_id = :dataset_id AND text_hash = ANY(CAST(:hashes AS bytea[]))
""")

# The LATERAL keeps the work bounded however full a band is. Who shares many bands comes first, and a band counts for
# less the more questions share it. Of those, the sketches tell most apart; rows of an older release have none.
FIND_NEIGHBOURS = text("""
    WITH shared AS (
        SELECT asked.candidate, found.question_id, sum(CAST(1 AS float8) / found.questions) AS weight
        FROM unnest(CAST(:candidates AS int[]), CAST(:bands AS bigint[])) AS asked (candidate, band)
        CROSS JOIN LATERAL (
            SELECT question_id, count(*) OVER () AS questions FROM (
                SELECT question_id FROM question_band
                WHERE dataset_id = :dataset_id AND band = asked.band
                ORDER BY question_id DESC
                LIMIT :per_band
            ) AS newest
        ) AS found
        GROUP BY asked.candidate, found.question_id
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY candidate ORDER BY weight DESC, question_id DESC) AS rank FROM shared
    )
    SELECT ranked.candidate, question.id, question.text
    FROM ranked
    JOIN question ON question.id = ranked.question_id
    JOIN unnest(CAST(:sketches AS bit(120)[])) WITH ORDINALITY AS its (sketch, place)
        ON its.place = ranked.candidate + 1
    WHERE ranked.rank <= :per_candidate
        AND (question.sketch IS NULL OR bit_count(question.sketch # its.sketch) <= :sketch_distance)
    ORDER BY ranked.candidate, ranked.rank
""")

# In the order of their ids, so that the planner reads the few newest rows and not the dataset.
FIND_LATER = text("""
    SELECT id, text, CAST(sketch AS text) AS sketch FROM question
    WHERE dataset_id = :dataset_id AND id > :up_to ORDER BY id LIMIT :most
""")

COUNT_TEMPLATES = text("""
    SELECT asked.template_hash, found.questions
    FROM unnest(CAST(:templates AS bigint[])) AS asked (template_hash)
    CROSS JOIN LATERAL (
        SELECT count(*) AS questions FROM (
            SELECT 1 FROM question
            WHERE dataset_id = :dataset_id AND question.template_hash = asked.template_hash
            LIMIT :template_cap
        ) AS alike
    ) AS found
    WHERE found.questions > 0
""")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each candidate the questions that may be similar, the likeliest first; and the texts of all of them."""

    ids: Sequence[Sequence[QuestionId]]
    texts: Mapping[QuestionId, str]


@dataclass(frozen=True, slots=True)
class FoundAhead:
    """What was found before the lock: all that is similar and not newer than `up_to`."""

    neighbours: Neighbours
    up_to: QuestionId


async def find_known(
    conn: AsyncConnection,
    dataset_id: DatasetId,
    prints: Sequence[Fingerprint],
    template_cap: int | None = None,
    *,
    ahead: FoundAhead | None = None,
) -> Known:
    """What the dataset holds that could be like the candidates; what was found ahead is only brought up to date."""
    exact = await find_exact(conn, dataset_id, [its.text_hash for its in prints])
    near = await _bring_up_to_date(conn, dataset_id, prints, ahead) if ahead is not None else None
    if near is None:
        near = await find_neighbours(conn, dataset_id, prints)
    templates: dict[int, int] = {}
    if template_cap is not None:
        hashes = {its.template_hash for its in prints}
        counted = {"dataset_id": dataset_id, "templates": int_array(hashes), "template_cap": template_cap}
        templates = {row.template_hash: row.questions for row in await conn.execute(COUNT_TEMPLATES, counted)}
    return Known(exact, near.ids, near.texts, templates)


async def find_neighbours(conn: AsyncConnection, dataset_id: DatasetId, prints: Sequence[Fingerprint]) -> Neighbours:
    """The questions of the dataset that share a band and most of their sketch with a candidate."""
    rows = await conn.execute(
        FIND_NEIGHBOURS,
        {
            "dataset_id": dataset_id,
            "candidates": int_array(place for place, its in enumerate(prints) for _ in its.bands),
            "bands": int_array(band for its in prints for band in its.bands),
            "per_band": QUESTIONS_PER_BAND,
            "per_candidate": NEIGHBOURS_PER_CANDIDATE,
            "sketches": f"{{{','.join(bit_string(its.sketch, SKETCH_BITS) for its in prints)}}}",
            "sketch_distance": SKETCH_DISTANCE,
        },
    )
    ids: list[list[QuestionId]] = [[] for _ in prints]
    texts: dict[QuestionId, str] = {}
    for place, question_id, question_text in rows:
        ids[place].append(question_id)
        texts[question_id] = question_text
    return Neighbours(ids, texts)


async def _bring_up_to_date(
    conn: AsyncConnection, dataset_id: DatasetId, prints: Sequence[Fingerprint], ahead: FoundAhead
) -> Neighbours | None:
    """What was found ahead with all that came since, by sketch alone; None when that is too much, or has no sketches.

    Most that came since was found already: a lookup ahead sees what is committed, and `up_to` is on the safe side.
    """
    asked = {"dataset_id": dataset_id, "up_to": ahead.up_to, "most": MOST_LATER + 1}
    later = list(await conn.execute(FIND_LATER, asked))
    if len(later) > MOST_LATER or any(row.sketch is None for row in later):
        return None
    ids = [list(each) for each in ahead.neighbours.ids]
    texts = dict(ahead.neighbours.texts)
    for place, other in similar_sketches([its.sketch for its in prints], [int(row.sketch, 2) for row in later]):
        row = later[other]
        if row.id not in ids[place]:
            ids[place].append(row.id)
            texts[row.id] = row.text
    return Neighbours(ids, texts)


async def find_exact(conn: AsyncConnection, dataset_id: DatasetId, hashes: Sequence[bytes]) -> dict[bytes, QuestionId]:
    """The questions with one of these text hashes."""
    rows = await conn.execute(FIND_EXACT, {"dataset_id": dataset_id, "hashes": list(hashes)})
    return {bytes(text_hash): QuestionId(question_id) for text_hash, question_id in rows}
