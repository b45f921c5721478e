"""Stream a dataset's selected questions in an order that the same questions always have."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import NotFound

ROWS_PER_CHUNK = 2_000
ROWS_PER_GROUP = 20_000

FIND = text("SELECT id, order_seed FROM dataset WHERE name = :name")
# A reader may pause for a quarter of an hour; the server's own limit is a minute.
ALLOW_SLOW_READERS = text("SET LOCAL idle_in_transaction_session_timeout = '15min'")
_COLUMNS = """
    question.id, question.text, question.domain, question.difficulty, question.tags, question.prompt_tokens,
    question.tokenizer, question.job_id, question.model, question.call_id,
    question.created_at, CAST(question.metadata AS text) AS metadata, COALESCE(job.rehearsal, false) AS rehearsal
"""
# DESIGN "Order": by the keyed hash of the normalised text, so that adding rows moves none.
SELECTED = text(f"""
    SELECT {_COLUMNS}
    FROM question LEFT JOIN job ON job.id = question.job_id
    WHERE question.dataset_id = :dataset_id AND question.state = 'selected' AND question.id NOT IN (
        SELECT question_id FROM contamination WHERE dataset_id = :dataset_id AND cleared_at IS NULL)
    ORDER BY sha256(int8send(:seed) || question.text_hash)
""")  # noqa: S608 - the columns are a constant above
SELECTED_AND_CONTAMINATED = text(f"""
    SELECT {_COLUMNS}, flags.matches AS contaminated
    FROM question LEFT JOIN job ON job.id = question.job_id
    LEFT JOIN (
        SELECT question_id, json_agg(json_build_object('benchmark', benchmark, 'item', reference, 'kind', kind,
            'score', score) ORDER BY benchmark) AS matches
        FROM contamination WHERE dataset_id = :dataset_id AND cleared_at IS NULL GROUP BY question_id
    ) AS flags ON flags.question_id = question.id
    WHERE question.dataset_id = :dataset_id AND question.state = 'selected'
    ORDER BY sha256(int8send(:seed) || question.text_hash)
""")  # noqa: S608 - as above

PARQUET_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("difficulty", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("tokenizer", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("call_id", pa.string()),
        pa.field("rehearsal", pa.bool_(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("metadata", pa.string()),
    ]
)
_MATCH = pa.struct([("benchmark", pa.string()), ("item", pa.string()), ("kind", pa.string()), ("score", pa.float64())])
CONTAMINATED_FIELD = pa.field("contaminated", pa.list_(_MATCH))


async def export_jsonl(
    engine: AsyncEngine, dataset: str, seed: int | None = None, *, contaminated: bool = False
) -> AsyncIterator[bytes]:
    """One JSON object a line. `seed` gives another order than the dataset's own. Raises NotFound.

    With `contaminated`, also what benchmarks flag, told by a field of that name: the items that it is like, or null.
    """
    async with _selected(engine, dataset, seed, contaminated=contaminated) as chunks:
        async for rows in chunks:
            yield await asyncio.to_thread(_pack_lines, rows)


async def export_parquet(
    engine: AsyncEngine, dataset: str, seed: int | None = None, *, contaminated: bool = False
) -> AsyncIterator[bytes]:
    """The same rows as a Parquet file, zstd-compressed; `metadata` is JSON text. Raises NotFound."""
    sink = _Sink()
    schema = PARQUET_SCHEMA.append(CONTAMINATED_FIELD) if contaminated else PARQUET_SCHEMA
    writer = pq.ParquetWriter(sink, schema, compression="zstd")
    group: list[dict[str, Any]] = []
    async with _selected(engine, dataset, seed, contaminated=contaminated) as chunks:
        async for rows in chunks:
            group += [_exported(row) for row in rows]
            if len(group) >= ROWS_PER_GROUP:
                await asyncio.to_thread(_write_group, writer, schema, group)
                group = []
                yield sink.take()
    if group:
        await asyncio.to_thread(_write_group, writer, schema, group)
    writer.close()
    yield sink.take()


def _pack_lines(rows: Sequence[Any]) -> bytes:
    return b"".join(orjson.dumps(_with_fragment(_exported(row)), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _with_fragment(exported: dict[str, Any]) -> dict[str, Any]:
    """Metadata as Postgres wrote it: its numbers may be too large for a Python JSON library."""
    if exported["metadata"] is not None:
        exported["metadata"] = orjson.Fragment(exported["metadata"])
    return exported


def _write_group(writer: pq.ParquetWriter, schema: pa.Schema, group: list[dict[str, Any]]) -> None:
    writer.write_table(pa.Table.from_pylist(group, schema=schema))


class _Sink(io.RawIOBase):
    """A file that is written to at one end and read away at the other."""

    def __init__(self) -> None:
        super().__init__()
        self._pending = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pending += piece
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        return taken


@asynccontextmanager
async def _selected(
    engine: AsyncEngine, dataset: str, seed: int | None, *, contaminated: bool
) -> AsyncIterator[AsyncIterator[Any]]:
    async with engine.connect() as conn:
        row = (await conn.execute(FIND, {"name": dataset})).one_or_none()
        if row is None:
            raise NotFound(f"there is no dataset {dataset}")
        await conn.execute(ALLOW_SLOW_READERS)
        values = {"dataset_id": row.id, "seed": row.order_seed if seed is None else seed}
        # A server-side cursor: memory stays flat however many rows there are. Used as a context manager, `stream` would
        # leave it open when a reader stops early, and swallow the GeneratorExit.
        result = await conn.stream(SELECTED_AND_CONTAMINATED if contaminated else SELECTED, values)
        try:
            yield result.partitions(ROWS_PER_CHUNK)
        finally:
            await result.close()


def _exported(row: Any) -> dict[str, Any]:
    exported = {
        "id": row.id,
        "question": row.text,
        "domain": row.domain,
        "difficulty": row.difficulty,
        "tags": row.tags,
        "prompt_tokens": row.prompt_tokens,
        "tokenizer": row.tokenizer,
        "source": "baseline" if row.job_id is None else str(row.job_id),
        "model": row.model,
        "call_id": None if row.call_id is None else str(row.call_id),
        "rehearsal": row.rehearsal,
        "created_at": row.created_at.astimezone(UTC),
        "metadata": row.metadata,
    }
    if hasattr(row, "contaminated"):
        exported["contaminated"] = row.contaminated
    return exported
