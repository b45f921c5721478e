"""Import questions from a file into a dataset: streamed, folded, hash-deduplicated, whole or not at all."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.baseline_row import BadRow, BaselineRow, parse_row
from shared.corpus.baseline_write import write_rows
from shared.corpus.benchmarks import is_guarded
from shared.corpus.busy_dataset import refuse_when_busy
from shared.corpus.contaminated import flag_questions
from shared.corpus.normalise import text_hash
from shared.corpus.upload import LINE_BYTES, Line, OverlongLine, read_lines
from shared.errors import BadUpload, Conflict
from shared.ids import DatasetId

# What is written together: few statements, and a bounded piece of the file in memory.
ROWS_PER_WRITE = 1_000
BYTES_PER_WRITE = 4_000_000
# Hashes of the file's questions that are kept to drop repeats early, some 100 bytes each.
MOST_HASHES = 500_000
PROBLEMS_SHOWN = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What people have instead of JSONL, by its first bytes.
OTHER_KINDS = {
    b"PAR1": "Parquet",
    b"[": "a JSON array",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
CSV_HEADER = re.compile(rb"[^{]*\bquestion\b[^{]*\Z", re.IGNORECASE)
# Statistics from before a large import mislead the planner by orders of magnitude.
ANALYZE_FROM_ROWS = 1_000

# Over a slow line minutes may pass between two writes; the server's own limit is one.
ALLOW_SLOW_UPLOADS = text("SET LOCAL idle_in_transaction_session_timeout = '15min'")
# Locks the row until the import ends, so that a job is planned, or reads its replies again, before it or after it.
LOCK_DATASET = text("""
    INSERT INTO dataset (name) VALUES (:name) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
""")
# What is inserted from here on has a higher id.
LAST_ID = text("SELECT COALESCE(MAX(id), 0) FROM question")
UNFINISHED = text("SELECT id FROM job WHERE dataset_id = :dataset_id AND state IN ('running', 'paused')")


@dataclass(slots=True)
class ImportReport:
    """What became of a file's lines: read = imported + duplicates + invalid.

    Near-duplicates are imported too, and what is like a benchmark's item, which is flagged.
    """

    read: int = 0
    imported: int = 0
    duplicates: int = 0
    invalid: int = 0
    near_duplicates: int = 0
    contaminated: int = 0
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
            "contaminated": self.contaminated,
            "problems": [{"line": line, "error": error} for line, error in self.problems],
        }


async def import_baseline(engine: AsyncEngine, dataset: str, chunks: AsyncIterator[bytes]) -> ImportReport:
    """Import JSONL, plain or gzip, in one transaction. Repeats of what is there are counted and left out.

    Raises BadUpload when the data breaks off, is a bomb or holds no valid line, Conflict while a job or another import
    of the dataset is unfinished, and whatever `chunks` raises; then nothing was imported.
    """
    report = ImportReport()
    reader = _Reader(report)
    async with engine.begin() as conn:
        dataset_id = await _lock_dataset(conn, dataset)
        last_id = (await conn.execute(LAST_ID)).scalar_one()
        async for lines in read_lines(chunks):
            await asyncio.to_thread(reader.read, lines)
            if reader.holds_enough:
                await _write(conn, dataset_id, reader.take(), report)
        await _write(conn, dataset_id, reader.take(), report)
        if report.read == 0:
            raise BadUpload("the file holds no lines; nothing was imported")
        if report.invalid == report.read:
            raise BadUpload(_why_none(report, reader.first_line))
        if await is_guarded(conn, dataset_id):
            report.contaminated = (await flag_questions(conn, dataset_id, after=last_id)).flagged
    if report.imported >= ANALYZE_FROM_ROWS:
        async with engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            await conn.execute(text("ANALYZE question, question_band"))
    return report


class _Reader:
    """Collects the rows of lines until there are enough to be written together; of equal questions the first."""

    def __init__(self, report: ImportReport) -> None:
        self._report = report
        self.first_line = b""
        self._line_number = 0
        self._rows: list[BaselineRow] = []
        self._bytes = 0
        self._hashes: set[bytes] = set()

    @property
    def holds_enough(self) -> bool:
        return len(self._rows) >= ROWS_PER_WRITE or self._bytes >= BYTES_PER_WRITE

    def read(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._line_number += 1
            if isinstance(line, OverlongLine):
                self._report.read += 1
                self._report.add_problem(self._line_number, f"longer than {LINE_BYTES:,} bytes")
                continue
            content = (line.removeprefix(BYTE_ORDER_MARK) if self._line_number == 1 else line).strip()
            if not content:
                continue
            self.first_line = self.first_line or content
            self._report.read += 1
            try:
                row = parse_row(content)
            except BadRow as error:
                self._report.add_problem(self._line_number, str(error))
                continue
            self._add(row, len(content))

    def _add(self, row: BaselineRow, size: int) -> None:
        row_hash = text_hash(row.question)
        if row_hash in self._hashes:
            self._report.duplicates += 1
            return
        if len(self._hashes) >= MOST_HASHES:
            self._hashes.clear()  # what repeats them later is still a repeat to the table's unique index
        self._hashes.add(row_hash)
        self._rows.append(row)
        self._bytes += size

    def take(self) -> list[BaselineRow]:
        taken, self._rows, self._bytes = self._rows, [], 0
        return taken


def _why_none(report: ImportReport, first_line: bytes) -> str:
    line, error = report.problems[0]
    kind = _other_kind(first_line)
    looks = f"; it looks like {kind}, and JSONL is needed: a JSON object a line, in UTF-8" if kind else ""
    return f"none of the file's lines is a question (line {line}: {error}){looks}; nothing was imported"


def _other_kind(first_line: bytes) -> str | None:
    for beginning, kind in OTHER_KINDS.items():
        if first_line.startswith(beginning):
            return kind
    return "CSV" if CSV_HEADER.match(first_line) else None


async def _lock_dataset(conn: AsyncConnection, dataset: str) -> DatasetId:
    await conn.execute(ALLOW_SLOW_UPLOADS)
    with refuse_when_busy(Conflict(f"another import into dataset {dataset} is under way; try again after it")):
        dataset_id = DatasetId((await conn.execute(LOCK_DATASET, {"name": dataset})).scalar_one())
    if job_id := (await conn.execute(UNFINISHED, {"dataset_id": dataset_id})).scalar_one_or_none():
        raise Conflict(f"dataset {dataset} has an unfinished job, {job_id}; import before it starts or after it ends")
    return dataset_id


async def _write(
    conn: AsyncConnection, dataset_id: DatasetId, rows: Sequence[BaselineRow], report: ImportReport
) -> None:
    if not rows:
        return
    written = await write_rows(conn, dataset_id, rows)
    report.imported += written.imported
    report.duplicates += len(rows) - written.imported
    report.near_duplicates += written.near_duplicates
