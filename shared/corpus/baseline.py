"""Import questions from a file into a dataset: streamed, folded, hash-deduplicated, whole or not at all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.baseline_row import BadRow, BaselineRow, parse_row
from shared.corpus.duplicates import judge
from shared.corpus.fingerprint import SIGNATURE_VERSION, Fingerprint, fingerprint_many
from shared.corpus.lookup import find_exact, find_known
from shared.corpus.normalise import text_hash
from shared.corpus.upload import LINE_BYTES, OverlongLine, read_lines
from shared.errors import BadUpload, Conflict
from shared.ids import DatasetId
from shared.questions.tokens import TOKENIZER, count_tokens

# Rows that are written together: few statements, and a bounded piece of the file in memory.
ROWS_PER_WRITE = 4_000
PROBLEMS_SHOWN = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Statistics from before a large import mislead the planner by orders of magnitude.
ANALYZE_FROM_ROWS = 1_000

# Locks the row until the import ends, so that a job is planned before it or after it.
LOCK_DATASET = text("""
    INSERT INTO dataset (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
""")
UNFINISHED = text("SELECT id FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused')")
INSERT_QUESTIONS = text("""
    INSERT INTO question (
        dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, prompt_tokens, tokenizer,
        tags, metadata)
    SELECT :dataset_id, fresh.domain, fresh.difficulty, fresh.text, fresh.text_hash, fresh.template_hash,
        :signature_version, fresh.prompt_tokens, :tokenizer,
        ARRAY(SELECT jsonb_array_elements_text(CAST(fresh.tags AS jsonb))), CAST(fresh.metadata AS jsonb)
    FROM unnest(
        CAST(:domains AS text[]), CAST(:difficulties AS text[]), CAST(:texts AS text[]), CAST(:hashes AS bytea[]),
        CAST(:templates AS bigint[]), CAST(:prompt_tokens AS int[]), CAST(:tags AS text[]), CAST(:metadata AS text[]))
        AS fresh (domain, difficulty, text, text_hash, template_hash, prompt_tokens, tags, metadata)
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


@dataclass(slots=True)
class ImportReport:
    """What became of a file's lines: read = imported + duplicates + invalid. Near-duplicates are imported too."""

    read: int = 0
    imported: int = 0
    duplicates: int = 0
    invalid: int = 0
    near_duplicates: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)

    def add_problem(self, line: int, error: str) -> None:
        """Count an invalid line; the first ones are shown."""
        self.invalid += 1
        if len(self.problems) < PROBLEMS_SHOWN:
            self.problems.append((line, error))

    def to_json(self) -> dict[str, object]:
        """The answer of POST /v1/datasets/{name}/baseline."""
        return {
            "read": self.read,
            "imported": self.imported,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "near_duplicates": self.near_duplicates,
            "problems": [{"line": line, "error": error} for line, error in self.problems],
        }


async def import_baseline(engine: AsyncEngine, dataset: str, chunks: AsyncIterator[bytes]) -> ImportReport:
    """Import JSONL, plain or gzip, in one transaction. Repeats of what is there are counted and left out.

    Raises BadUpload when the data breaks off or is a bomb, Conflict while a job of the dataset is unfinished; then
    nothing was imported.
    """
    report = ImportReport()
    rows: list[BaselineRow] = []
    line_number = 0
    async with engine.begin() as conn:
        dataset_id = DatasetId((await conn.execute(LOCK_DATASET, {"name": dataset})).scalar_one())
        if job_id := (await conn.execute(UNFINISHED, {"dataset_id": dataset_id})).scalar_one_or_none():
            raise Conflict(
                f"dataset {dataset} has an unfinished job, {job_id}; import before it starts or after it ends"
            )
        async for lines in read_lines(chunks):
            for line in lines:
                line_number += 1
                _read(line, line_number, report, rows)
            while len(rows) >= ROWS_PER_WRITE:
                await _write(conn, dataset_id, rows[:ROWS_PER_WRITE], report)
                del rows[:ROWS_PER_WRITE]
        await _write(conn, dataset_id, rows, report)
        if report.read == 0:
            raise BadUpload("the file holds no lines; nothing was imported")
    if report.imported >= ANALYZE_FROM_ROWS:
        async with engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            await conn.execute(text("ANALYZE question, question_band"))
    return report


def _read(line: bytes | OverlongLine, number: int, report: ImportReport, rows: list[BaselineRow]) -> None:
    if isinstance(line, OverlongLine):
        report.read += 1
        report.add_problem(number, f"longer than {LINE_BYTES:,} bytes")
        return
    content = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
    if not content:
        return
    report.read += 1
    try:
        rows.append(parse_row(content))
    except BadRow as error:
        report.add_problem(number, str(error))


async def _write(
    conn: AsyncConnection, dataset_id: DatasetId, rows: Sequence[BaselineRow], report: ImportReport
) -> None:
    """Write what is new of the rows. Hashes first: in a file full of repeats the costly steps see few rows."""
    by_hash = await asyncio.to_thread(_first_of_each, rows)
    known = await find_exact(conn, dataset_id, list(by_hash))
    fresh = [row for row_hash, row in by_hash.items() if row_hash not in known]
    report.duplicates += len(rows) - len(fresh)
    if not fresh:
        return
    texts = [row.question for row in fresh]
    prints, tokens = await asyncio.to_thread(_measure, texts)
    neighbours = await find_known(conn, dataset_id, prints)
    verdicts = await asyncio.to_thread(judge, texts, prints, neighbours)
    report.near_duplicates += sum(verdict.refusal is not None for verdict in verdicts)
    inserted = await conn.execute(
        INSERT_QUESTIONS,
        {
            "dataset_id": dataset_id,
            "signature_version": SIGNATURE_VERSION,
            "tokenizer": TOKENIZER,
            "domains": [row.domain for row in fresh],
            "difficulties": [row.difficulty for row in fresh],
            "texts": texts,
            "hashes": [its.text_hash for its in prints],
            "templates": [its.template_hash for its in prints],
            "prompt_tokens": tokens,
            "tags": [orjson.dumps(row.tags).decode() for row in fresh],
            "metadata": [row.metadata for row in fresh],
        },
    )
    ids = {bytes(row.text_hash): row.id for row in inserted}
    report.imported += len(ids)
    report.duplicates += len(fresh) - len(ids)
    bands = [(band, ids[its.text_hash]) for its in prints if its.text_hash in ids for band in its.bands]
    values = {"bands": [band for band, _ in bands], "question_ids": [question_id for _, question_id in bands]}
    await conn.execute(INSERT_BANDS, {"dataset_id": dataset_id, **values})


def _first_of_each(rows: Sequence[BaselineRow]) -> dict[bytes, BaselineRow]:
    by_hash: dict[bytes, BaselineRow] = {}
    for row in rows:
        by_hash.setdefault(text_hash(row.question), row)
    return by_hash


def _measure(texts: Sequence[str]) -> tuple[list[Fingerprint], list[int]]:
    return fingerprint_many(texts), [count_tokens(each) for each in texts]
