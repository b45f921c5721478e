"""Write a group of baseline rows: what is new of them, with its bands, and how much of that has a near-duplicate."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.corpus.baseline_row import BaselineRow
from shared.corpus.duplicates import Known, judge
from shared.corpus.fingerprint import SIGNATURE_VERSION, Fingerprint, fingerprint_many
from shared.corpus.minhash import SKETCH_BITS
from shared.database.parameters import bit_string, int_array
from shared.ids import DatasetId, QuestionId
from shared.questions.tokens import TOKENIZER, count_tokens

# How many earlier questions a new one is compared with, and how many are looked at in each of its bands, newest first:
# the work stays the same in a file made of one template, where every question shares its bands with all the others.
NEIGHBOURS = 4
# Longer questions are not compared: the shingles of one of a megabyte take some 100 MB.
MOST_CHARACTERS_COMPARED = 50_000

# One JSON text for all rows: far cheaper to make and to bind than a list per column.
INSERT_QUESTIONS = text("""
    INSERT INTO question (
        dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, prompt_tokens, tokenizer,
        tags, metadata, sketch)
    SELECT :dataset_id, fresh.domain, fresh.difficulty, fresh.text, decode(fresh.text_hash, 'hex'),
        fresh.template_hash, :signature_version, fresh.prompt_tokens, :tokenizer, fresh.tags, fresh.metadata,
        fresh.sketch
    FROM json_to_recordset(CAST(:rows AS json)) AS fresh (
        domain text, difficulty text, text text, text_hash text, template_hash bigint, prompt_tokens int, tags text[],
        metadata jsonb, sketch bit(120))
    ON CONFLICT (dataset_id, text_hash) DO NOTHING
    RETURNING text_hash, id
""")
INSERT_BANDS = text("""
    INSERT INTO question_band (dataset_id, band, question_id)
    SELECT :dataset_id, fresh.band, fresh.question_id
    FROM unnest(CAST(:bands AS bigint[]), CAST(:question_ids AS bigint[])) AS fresh (band, question_id)
    ORDER BY fresh.band
    ON CONFLICT DO NOTHING
""")
FIND_NEIGHBOURS = text("""
    WITH ranked AS (
        SELECT fresh.question_id, near.question_id AS other_id,
            row_number() OVER (
                PARTITION BY fresh.question_id ORDER BY count(*) DESC, near.question_id DESC) AS rank
        FROM unnest(CAST(:bands AS bigint[]), CAST(:question_ids AS bigint[])) AS fresh (band, question_id)
        CROSS JOIN LATERAL (
            SELECT question_id FROM question_band
            WHERE dataset_id = :dataset_id AND band = fresh.band AND question_id < fresh.question_id
            ORDER BY question_id DESC LIMIT :neighbours
        ) AS near
        GROUP BY fresh.question_id, near.question_id
    )
    SELECT ranked.question_id, ranked.other_id, question.text
    FROM ranked JOIN question ON question.id = ranked.other_id
    WHERE ranked.rank <= :neighbours AND char_length(question.text) <= :most_characters
""")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a group of rows; the rest of them were repeats."""

    imported: int
    near_duplicates: int


async def write_rows(conn: AsyncConnection, dataset_id: DatasetId, fresh: Sequence[BaselineRow]) -> Written:
    """Insert those of different questions that are new to the dataset, in the caller's transaction.

    What repeats something in the table is left to its unique index: until the next ANALYZE, a SELECT for it may read
    the whole dataset. Near-duplicates are found among the likeliest earlier questions only: a lower bound.
    """
    prints, packed = await asyncio.to_thread(_measure, fresh)
    constants = {"signature_version": SIGNATURE_VERSION, "tokenizer": TOKENIZER}
    rows_in = await conn.execute(INSERT_QUESTIONS, {"dataset_id": dataset_id, "rows": packed, **constants})
    ids = {bytes(row_hash): QuestionId(question_id) for row_hash, question_id in rows_in}
    placed = {ids[its.text_hash]: place for place, its in enumerate(prints) if its.text_hash in ids}
    bands = {"dataset_id": dataset_id, **await asyncio.to_thread(_band_arrays, placed, prints)}
    await conn.execute(INSERT_BANDS, bands)
    near = await conn.execute(
        FIND_NEIGHBOURS, {**bands, "neighbours": NEIGHBOURS, "most_characters": MOST_CHARACTERS_COMPARED}
    )
    neighbours: dict[QuestionId, dict[QuestionId, str]] = {}
    for question_id, other_id, other in near:
        neighbours.setdefault(question_id, {})[other_id] = other
    compared = [(fresh[placed[each]].question, prints[placed[each]], others) for each, others in neighbours.items()]
    return Written(len(ids), await asyncio.to_thread(_count_near, compared))


def _measure(rows: Sequence[BaselineRow]) -> tuple[list[Fingerprint], str]:
    """The rows' fingerprints, and all that is stored of them as one JSON text."""
    prints = fingerprint_many([row.question for row in rows])
    packed = [
        {
            "domain": row.domain,
            "difficulty": row.difficulty,
            "text": row.question,
            "text_hash": its.text_hash.hex(),
            "template_hash": its.template_hash,
            "sketch": bit_string(its.sketch, SKETCH_BITS),
            "prompt_tokens": count_tokens(row.question),
            "tags": row.tags,
            "metadata": None if row.metadata is None else orjson.Fragment(row.metadata),
        }
        for row, its in zip(rows, prints, strict=True)
    ]
    return prints, orjson.dumps(packed).decode()


def _band_arrays(placed: Mapping[QuestionId, int], prints: Sequence[Fingerprint]) -> dict[str, str]:
    """Array literals, as Postgres reads them: made here, off the event loop."""
    pairs = [(band, question_id) for question_id, place in placed.items() for band in prints[place].bands]
    return {
        "bands": int_array(band for band, _ in pairs),
        "question_ids": int_array(question_id for _, question_id in pairs),
    }


def _count_near(compared: Sequence[tuple[str, Fingerprint, Mapping[QuestionId, str]]]) -> int:
    verdicts = (
        judge([own], [its], Known({}, [list(others)], others))
        for own, its, others in compared
        if len(own) <= MOST_CHARACTERS_COMPARED
    )
    return sum(verdict.refusal is not None for [verdict] in verdicts)
