"""What a dataset holds that could be like some texts: by hash, by shared bands, by template."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.duplicates import Known
from shared.corpus.fingerprint import Fingerprint
from shared.corpus.minhash import SKETCH_BITS, SKETCH_DISTANCE
from shared.database.parameters import bit_array, bytes_array, int_array
from shared.ids import DatasetId, QuestionId

# How many questions of one band are looked at, newest first, and how many neighbours of one candidate are compared.
# A fuller band is the boilerplate of a template: what is near in more than that shares an emptier band too.
QUESTIONS_PER_BAND = 400
NEIGHBOURS_PER_CANDIDATE = 100

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

# Of a dataset that the statistics do not know yet, the planner expects one row, and any index that begins with the
# dataset seems as good: it read the whole dataset for each template. With `+ 0` only the template's own can be used.
COUNT_TEMPLATES = text("""
    SELECT asked.template_hash, found.questions
    FROM unnest(CAST(:templates AS bigint[])) AS asked (template_hash)
    CROSS JOIN LATERAL (
        SELECT count(*) AS questions FROM (
            SELECT 1 FROM question
            WHERE question.template_hash = asked.template_hash AND question.dataset_id + 0 = :dataset_id
            LIMIT :template_cap
        ) AS alike
    ) AS found
    WHERE found.questions > 0
""")


async def find_known(
    conn: AsyncConnection, dataset_id: DatasetId, prints: Sequence[Fingerprint], template_cap: int | None = None
) -> Known:
    """What the dataset holds that could be like the candidates."""
    exact = await find_exact(conn, dataset_id, [its.text_hash for its in prints])
    asked = [(place, band) for place, its in enumerate(prints) if its.text_hash not in exact for band in its.bands]
    neighbours: list[list[QuestionId]] = [[] for _ in prints]
    texts: dict[QuestionId, str] = {}
    rows = await conn.execute(
        FIND_NEIGHBOURS,
        {
            "dataset_id": dataset_id,
            "candidates": int_array(place for place, _ in asked),
            "bands": int_array(band for _, band in asked),
            "per_band": QUESTIONS_PER_BAND,
            "per_candidate": NEIGHBOURS_PER_CANDIDATE,
            "sketches": bit_array((its.sketch for its in prints), SKETCH_BITS),
            "sketch_distance": SKETCH_DISTANCE,
        },
    )
    for place, question_id, question_text in rows:
        neighbours[place].append(question_id)
        texts[question_id] = question_text
    templates: dict[int, int] = {}
    if template_cap is not None:
        hashes = {its.template_hash for its in prints}
        counted = {"dataset_id": dataset_id, "templates": int_array(hashes), "template_cap": template_cap}
        templates = {row.template_hash: row.questions for row in await conn.execute(COUNT_TEMPLATES, counted)}
    return Known(exact, neighbours, texts, templates)


async def find_exact(conn: AsyncConnection, dataset_id: DatasetId, hashes: Sequence[bytes]) -> dict[bytes, QuestionId]:
    """The questions with one of these text hashes."""
    rows = await conn.execute(FIND_EXACT, {"dataset_id": dataset_id, "hashes": bytes_array(hashes)})
    return {bytes(text_hash): QuestionId(question_id) for text_hash, question_id in rows}
