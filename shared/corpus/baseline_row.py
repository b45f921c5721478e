"""One line of a baseline file, checked and folded."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import orjson

from shared.planning.mix import fold_name

MOST_NAME_CHARACTERS = 64
# Postgres stores no NUL, neither in text nor in JSON.
NUL = "\0"
_KNOWN_KEYS = frozenset({"question", "domain", "difficulty", "tags"})
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class BadRow(ValueError):
    """The line is not a question; the message says why."""


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """A question from a file. `metadata` is what it carried besides, as JSON, None when nothing."""

    question: str
    domain: str
    difficulty: str
    tags: tuple[str, ...]
    metadata: bytes | None


def parse_row(line: bytes) -> BaselineRow:
    """A row of JSONL. Raises BadRow. Of the metadata's numbers, those beyond 64 bits become floats."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRow(_why_not_json(line, error)) from error
    if not isinstance(row, dict):
        raise BadRow("the line is not a JSON object")
    question = _text(row, "question").strip()
    if not question:
        raise BadRow("question is empty")
    if NUL in question:
        raise BadRow("question holds a NUL character")
    return BaselineRow(
        question=question,
        domain=_name(row, "domain"),
        difficulty=_name(row, "difficulty"),
        tags=_tags(row.get("tags")),
        metadata=_metadata({key: value for key, value in row.items() if key not in _KNOWN_KEYS}),
    )


def _why_not_json(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as invalid:
        return f"invalid UTF-8 at byte {invalid.start + 1}"
    return f"not JSON: {error.msg} at column {error.colno}"


def _text(row: dict[str, object], key: str) -> str:
    value = row.get(key)
    if value is None:
        raise BadRow(f"{key} is missing")
    if not isinstance(value, str):
        raise BadRow(f"{key} is not a text")
    return value


def _name(row: dict[str, object], key: str) -> str:
    name = fold_name(_text(row, key))
    if fault := _fault_of_name(name):
        raise BadRow(f"{key} {fault}")
    return name


@lru_cache(maxsize=1024)  # a file names few domains, many times
def _fault_of_name(name: str) -> str | None:
    if not name:
        return "is empty"
    if len(name) > MOST_NAME_CHARACTERS:
        return f"is longer than {MOST_NAME_CHARACTERS} characters"
    if "/" in name or any(unicodedata.category(char)[0] in "CZ" and char != " " for char in name):
        return "holds a slash or a character that does not show"
    return None


def _tags(value: object) -> tuple[str, ...]:
    """Tags fold like names do; empty ones and repeats go."""
    if value is None:
        return ()
    tags = [value] if isinstance(value, str) else value
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadRow("tags is not a list of texts")
    folded = dict.fromkeys(fold_name(tag) for tag in tags)
    if any(NUL in tag for tag in folded):
        raise BadRow("a tag holds a NUL character")
    return tuple(tag for tag in folded if tag)


def _metadata(rest: dict[str, object]) -> bytes | None:
    if not rest:
        return None
    try:
        metadata = orjson.dumps(rest)
    except TypeError as error:
        raise BadRow("a field is nested more than 250 levels deep") from error
    if _ESCAPED_NUL.search(metadata):
        raise BadRow("a field holds a NUL character")
    return metadata
