"""Whether the rows of a split are well formed and the same in every format."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from shared.bundle.fields import SCHEMA, Row, messages_of, topic_of
from shared.bundle.findings import Findings
from shared.bundle.names import jsonl_path, openai_path, parquet_path
from shared.bundle.read import UNREADABLE
from shared.bundle.split_files import chat_line, row_line

ROWS_AT_ONCE = 500
# Unpacked, Parquet holds no more than the JSON lines, which name every field in every row; and a little for itself.
LEAST_UNPACKED = 1 << 20

_REQUIRED = [field.name for field in SCHEMA if not field.nullable]


def verified_rows(folder: Path, split: str, findings: Findings, *, openai: bool) -> Iterator[Row]:
    """The rows of a split as Parquet has them, each compared with its line; stops where they part.

    Memory stays flat whatever the file says of itself: JSON lines are as long as they are, and Parquet may not unpack
    to more than they hold.
    """
    name = parquet_path(split)
    try:
        with (
            (folder / jsonl_path(split)).open("rb") as lines,
            (folder / openai_path(split)).open("rb") if openai else (folder / jsonl_path(split)).open("rb") as chats,
            pq.ParquetFile(folder / name) as table,
        ):
            if not _is_sound(table, split, (folder / jsonl_path(split)).stat().st_size, findings):
                return
            for number, (row, line, chat) in enumerate(zip_longest(_rows(table), lines, chats), 1):
                said = _difference(row, line, split) or (_row_problem(row, name) if row else None)
                if said is None and openai and row and chat != chat_line(row):
                    said = f"{openai_path(split)} has another chat than the row of {name}"
                if said is not None or row is None:
                    findings.add(name, f"{said}, row {number:,}.")
                    return
                yield row
    except UNREADABLE as error:
        findings.add(name, f"{name} cannot be read: {' '.join(str(error).split())}.")


def _is_sound(table: pq.ParquetFile, split: str, jsonl_bytes: int, findings: Findings) -> bool:
    name = parquet_path(split)
    if not table.schema_arrow.equals(SCHEMA):
        findings.add(name, f"{name} has other columns than a bundle's.")
        return False
    unpacked = sum(table.metadata.row_group(at).total_byte_size for at in range(table.metadata.num_row_groups))
    if unpacked > LEAST_UNPACKED + jsonl_bytes:
        findings.add(name, f"{name} unpacks to {unpacked:,} bytes, more than {jsonl_path(split)} holds.")
        return False
    return True


def _rows(table: pq.ParquetFile) -> Iterator[Row]:
    for batch in table.iter_batches(batch_size=ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _difference(row: Row | None, line: bytes | None, split: str) -> str | None:
    """What tells the row of the one file from the line of the other."""
    name, lines = parquet_path(split), jsonl_path(split)
    if row is None:
        return f"{name} has fewer rows than {lines}"
    if line is None:
        return f"{name} has more rows than {lines}"
    wanted = row_line(row)
    if line == wanted:
        return None
    meant = orjson.loads(wanted)
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        return f"{lines} has no JSON object"
    fields = [field for field in SCHEMA.names if field not in said or said[field] != meant[field]]
    if fields:
        return f"{name} and {lines} differ in {', '.join(fields)}"
    return f"{lines} is written otherwise than {name} says"


def _row_problem(row: Row, name: str) -> str | None:
    """What is wrong with a row by itself."""
    if missing := [field for field in _REQUIRED if row[field] is None]:
        return f"{name} has no {', '.join(missing)}"
    if not all(isinstance(tag, str) for tag in row["tags"]):
        return f"{name} has an empty tag"
    if (row["prompt"], row["completion"]) != messages_of(row["question"], row["answer"]):
        return f"{name} has other messages than its question and answer"
    if row["topic"] != topic_of(row["tags"]):
        return f"{name} has the topic {row['topic']!r}, and its first tag says {topic_of(row['tags'])!r}"
    if row["prompt_tokens"] < 0 or row["completion_tokens"] < 0:
        return f"{name} has a negative number of tokens"
    return None if row["answer"] else f"{name} has no answer"
