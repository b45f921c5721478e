"""Writes the rows of a split: Parquet, the same as JSON lines, and on request as chats for OpenAI's fine-tuning."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from shared.bundle.fields import SCHEMA, Row
from shared.bundle.names import jsonl_path, openai_path, parquet_path

ROWS_PER_GROUP = 10_000
CHARACTERS_PER_GROUP = 32_000_000  # a group of long answers is full before


def row_line(row: Row) -> bytes:
    """A row as its JSON line."""
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def chat_line(row: Row) -> bytes:
    """A row as a chat: the question, then the answer."""
    return orjson.dumps({"messages": [*row["prompt"], *row["completion"]]}, option=orjson.OPT_APPEND_NEWLINE)


def write_split(folder: Path, split: str, rows: Iterable[Row], *, openai: bool) -> None:
    """Write the rows in their order. The same rows make the same bytes."""
    written = [(jsonl_path(split), row_line), *([(openai_path(split), chat_line)] if openai else [])]
    with ExitStack() as stack:
        files = [(stack.enter_context(_create(folder / path).open("wb")), line_of) for path, line_of in written]
        table = stack.enter_context(pq.ParquetWriter(_create(folder / parquet_path(split)), SCHEMA, compression="zstd"))
        for group in _groups(rows):
            for file, line_of in files:
                file.writelines(map(line_of, group))
            table.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


def _create(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return path


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += len(row["question"]) + len(row["answer"])
        if len(group) >= ROWS_PER_GROUP or characters >= CHARACTERS_PER_GROUP:
            yield group
            group, characters = [], 0
    if group:
        yield group
