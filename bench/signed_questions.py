"""A large dataset with the signatures that admission stores: some texts drawn here, the others by the server."""

from collections.abc import Iterator
from random import Random

import psycopg

from bench.corpus import make_questions
from bench.perturbed import draw_questions
from shared.corpus.fingerprint import SIGNATURE_VERSION, fingerprint_many
from shared.corpus.minhash import SKETCH_BITS
from shared.database.engine import libpq_url
from shared.database.parameters import bit_string
from shared.questions.tokens import TOKENIZER

SEED = 2025
DRAWN_SHORT, DRAWN_LONG, OF_ONE_TEMPLATE, UNALIKE = 15_000, 5_000, 20_000, 60_000
PER_COPY = 5_000

COPY_QUESTIONS = """
COPY question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, sketch, prompt_tokens,
    tokenizer) FROM STDIN
"""
PLACE_BANDS = """
INSERT INTO question_band (dataset_id, band, question_id)
SELECT DISTINCT question.dataset_id, band_of.band, question.id
FROM band_of JOIN question ON question.dataset_id = %(dataset)s AND question.text_hash = band_of.text_hash
"""
# Their bands and sketches are drawn at random: nothing is like them, but every index is as large as it would be.
FILL = """
INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, sketch,
    prompt_tokens, tokenizer)
SELECT %(dataset)s, 'coding', 'easy', 'What does question ' || n || ' ask of ' || md5(n::text) || '?',
    decode(md5(%(dataset)s || '/' || n), 'hex'), n, %(version)s,
    CAST((random() * 9e18)::bigint::bit(64) || (random() * 9e18)::bigint::bit(64) AS bit(120)), 20, %(tokenizer)s
FROM generate_series(1, %(rows)s) AS n
"""
FILL_BANDS = """
INSERT INTO question_band (dataset_id, band, question_id)
SELECT %(dataset)s, ((random() - 0.5) * 1.8e19)::bigint AS band, question.id
FROM question CROSS JOIN generate_series(1, 12)
WHERE dataset_id = %(dataset)s AND text LIKE 'What does question %%' ORDER BY band
"""


def stock_questions(database_url: str, name: str, rows: int) -> list[str]:
    """Makes the dataset with so many questions; the texts of those that are drawn here, 100,000 at most."""
    drawn = list(dict.fromkeys(_draw()))[:rows]
    with psycopg.connect(libpq_url(database_url), autocommit=True) as conn:
        conn.execute("SET statement_timeout = 0")
        row = conn.execute("INSERT INTO dataset (name) VALUES (%s) RETURNING id", [name]).fetchone()
        assert row is not None
        _copy(conn, row[0], drawn)
        values = {"dataset": row[0], "version": SIGNATURE_VERSION, "tokenizer": TOKENIZER, "rows": rows - len(drawn)}
        conn.execute(FILL, values)
        conn.execute(FILL_BANDS, values)
        conn.execute("VACUUM ANALYZE question, question_band")
        conn.execute("CHECKPOINT")
    return drawn


def _draw() -> Iterator[str]:
    yield from make_questions(UNALIKE, SEED)
    yield from (template_question(number) for number in range(OF_ONE_TEMPLATE))
    yield from draw_questions(Random(SEED), short=DRAWN_SHORT, long=DRAWN_LONG)


def template_question(number: int) -> str:
    """One of many that differ in a number."""
    return f"If a train leaves the town at {number} miles per hour, when does it come to the harbour?"


def _copy(conn: psycopg.Connection, dataset_id: int, texts: list[str]) -> None:
    conn.execute("CREATE TEMP TABLE band_of (text_hash bytea, band bigint)")
    for first in range(0, len(texts), PER_COPY):
        some = texts[first : first + PER_COPY]
        prints = fingerprint_many(some)
        with conn.cursor().copy(COPY_QUESTIONS) as copy:
            for text, its in zip(some, prints, strict=True):
                sketch = bit_string(its.sketch, SKETCH_BITS)
                hashes = (its.text_hash, its.template_hash, SIGNATURE_VERSION, sketch)
                copy.write_row((dataset_id, "math", "easy", text, *hashes, 20, TOKENIZER))
        with conn.cursor().copy("COPY band_of FROM STDIN") as copy:
            for its in prints:
                for band in its.bands:
                    copy.write_row((its.text_hash, band))
    conn.execute(PLACE_BANDS, {"dataset": dataset_id})
