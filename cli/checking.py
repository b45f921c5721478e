"""`questmill check`: the texts of a file, compared with a dataset."""

import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.connection import Client
from cli.plain_words import BadArgument
from cli.spec_file import STDIN

# Texts are also compared with those before them in the same request; the API takes at most this many at once.
TEXTS_PER_REQUEST = 10_000
GZIP_MAGIC = b"\x1f\x8b"


def check_file(client: Client, dataset: str, source: str) -> list[dict[str, Any]]:
    """The verdict for each text, with its line. Raises BadArgument for a line that holds no text."""
    found: list[dict[str, Any]] = []
    texts = list(_read_texts(source))
    for start in range(0, len(texts), TEXTS_PER_REQUEST):
        part = texts[start : start + TEXTS_PER_REQUEST]
        verdicts = client.duplicates(dataset, [text for _, text in part])
        found += [{"line": line, "text": text, **verdict} for (line, text), verdict in zip(part, verdicts, strict=True)]
    return found


def unpack_text(raw: bytes, name: str) -> str:
    """What a file of text holds, plain or gzip. Raises BadArgument, which names it, for anything else."""
    try:
        return (gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw).decode()
    except UnicodeDecodeError as error:
        raise BadArgument(f"{name} is not UTF-8 (byte {error.start}).") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadArgument(f"{name} is not a whole gzip file: {error}.") from None


def _read_texts(source: str) -> Iterator[tuple[int, str]]:
    """Line number and text: of JSON objects their `question`, of any other line the line itself."""
    name = "stdin" if source == STDIN else source
    raw = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
    for number, line in enumerate(unpack_text(raw, name).split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith("{"):
            yield number, _question_of(stripped, name, number)
        elif stripped:
            yield number, stripped


def _question_of(line: str, name: str, number: int) -> str:
    try:
        question = json.loads(line)["question"]
    except (ValueError, KeyError):
        question = None
    if not isinstance(question, str):
        raise BadArgument(f"{name}, line {number}: a JSON object with a `question` is needed.")
    return question
