"""Stream a dataset's selected questions, as JSON lines or as a Parquet file."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.export_rows import Extent, exported_rows, selected_rows
from shared.questions.judging import CRITERIA

ROWS_PER_GROUP = 20_000
CHARACTERS_PER_GROUP = 32_000_000  # of answers: a group of long ones is full before

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
        pa.field("answer", pa.string()),
        pa.field("answer_model", pa.string()),
        pa.field("completion_tokens", pa.int32()),
        pa.field("verdict", pa.string()),
        pa.field("scores", pa.struct([(name, pa.float64()) for name in CRITERIA])),
        pa.field("prompt_version", pa.string()),
    ]
)
_ANSWER = pa.struct([("model", pa.string()), ("sample", pa.int16()), ("text", pa.string()), ("tokens", pa.int32())])
ANSWERS_FIELD = pa.field("answers", pa.list_(_ANSWER), nullable=False)
_MATCH = pa.struct([("benchmark", pa.string()), ("item", pa.string()), ("kind", pa.string()), ("score", pa.float64())])
CONTAMINATED_FIELD = pa.field("contaminated", pa.list_(_MATCH))


async def export_jsonl(
    engine: AsyncEngine,
    dataset: str,
    seed: int | None = None,
    *,
    contaminated: bool = False,
    all_answers: bool = False,
) -> AsyncIterator[bytes]:
    """One JSON object a line. `seed` gives another order than the dataset's own. Raises NotFound.

    With `contaminated`, also what benchmarks flag, told by a field of that name: the items that it is like, or null.
    With `all_answers`, a field `answers` beside the first one.
    """
    extent = Extent(contaminated, all_answers)
    async with selected_rows(engine, dataset, seed, extent) as chunks:
        async for rows in chunks:
            yield await asyncio.to_thread(_pack_lines, rows)


async def export_parquet(
    engine: AsyncEngine,
    dataset: str,
    seed: int | None = None,
    *,
    contaminated: bool = False,
    all_answers: bool = False,
) -> AsyncIterator[bytes]:
    """The same rows as a Parquet file, zstd-compressed; `metadata` is JSON text. Raises NotFound."""
    extent = Extent(contaminated, all_answers)
    sink = _Sink()
    schema = schema_of(extent)
    writer = pq.ParquetWriter(sink, schema, compression="zstd")
    group: list[dict[str, Any]] = []
    characters = 0
    async with selected_rows(engine, dataset, seed, extent) as chunks:
        async for rows in chunks:
            fresh = exported_rows(rows)
            group += fresh
            characters += sum(map(_answer_characters, fresh))
            if len(group) >= ROWS_PER_GROUP or characters >= CHARACTERS_PER_GROUP:
                await asyncio.to_thread(_write_group, writer, schema, group)
                group, characters = [], 0
                yield sink.take()
    if group:
        await asyncio.to_thread(_write_group, writer, schema, group)
    writer.close()
    yield sink.take()


def schema_of(extent: Extent) -> pa.Schema:
    """The columns of a Parquet export."""
    schema = PARQUET_SCHEMA
    if extent.all_answers:
        schema = schema.append(ANSWERS_FIELD)
    return schema.append(CONTAMINATED_FIELD) if extent.contaminated else schema


def _answer_characters(exported: dict[str, Any]) -> int:
    return len(exported["answer"] or "") + sum(len(each["text"]) for each in exported.get("answers", ()))


def _pack_lines(rows: Sequence[Any]) -> bytes:
    return b"".join(
        orjson.dumps(_with_fragment(each), option=orjson.OPT_APPEND_NEWLINE) for each in exported_rows(rows)
    )


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
