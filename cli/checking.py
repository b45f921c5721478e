"""`questmill check`: the texts of a file, compared with a dataset."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.connection import Client
from cli.plain_words import BadArgument

# Texts are also compared with those before them in the same request; the API takes at most this many at once.
TEXTS_PER_REQUEST = 10_000
GZIP_MAGIC = b"\x1f\x8b"


def check_file(client: Client, dataset: str, path: Path) -> list[dict[str, Any]]:
    """The verdict for each text, with its line. Raises BadArgument for a line that holds no text."""
    found: list[dict[str, Any]] = []
    texts = list(_read_texts(path))
    for start in range(0, len(texts), TEXTS_PER_REQUEST):
        part = texts[start : start + TEXTS_PER_REQUEST]
        verdicts = client.duplicates(dataset, [text for _, text in part])
        found += [{"line": line, "text": text, **verdict} for (line, text), verdict in zip(part, verdicts, strict=True)]
    return found


def _read_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text: of JSON objects their `question`, of any other line the line itself."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw).decode()
    except UnicodeDecodeError as error:
        raise BadArgument(f"{path} is not UTF-8 (byte {error.start}).") from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise BadArgument(f"{path} is not a whole gzip file: {error}.") from None
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith("{"):
            yield number, _question_of(stripped, path, number)
        elif stripped:
            yield number, stripped


def _question_of(line: str, path: Path, number: int) -> str:
    try:
        question = json.loads(line)["question"]
    except (ValueError, KeyError):
        question = None
    if not isinstance(question, str):
        raise BadArgument(f"{path}, line {number}: a JSON object with a `question` is needed.")
    return question
