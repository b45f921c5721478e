"""One line of a baseline file, checked and folded."""

import re
from dataclasses import dataclass

import orjson

from shared.planning.mix import fold_name

MOST_NAME_CHARACTERS = 64
# Postgres stores no NUL, neither in text nor in JSON.
NUL = "\0"
_KNOWN_KEYS = frozenset({"question", "domain", "difficulty", "tags"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BadRow(ValueError):
    """The line is not a question; the message says why."""


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """A question from a file. `metadata` is what it carried besides, as JSON text, None when nothing."""

    question: str
    domain: str
    difficulty: str
    tags: tuple[str, ...]
    metadata: str | None


def parse_row(line: bytes) -> BaselineRow:
    """A row of JSONL. Raises BadRow."""
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
    rest = {key: value for key, value in row.items() if key not in _KNOWN_KEYS}
    metadata = orjson.dumps(rest).decode() if rest else None
    if metadata is not None and "\\u0000" in metadata:
        raise BadRow("a field holds a NUL character")
    return BaselineRow(
        question=question,
        domain=_name(row, "domain"),
        difficulty=_name(row, "difficulty"),
        tags=_tags(row.get("tags")),
        metadata=metadata,
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
    if not name:
        raise BadRow(f"{key} is empty")
    if len(name) > MOST_NAME_CHARACTERS:
        raise BadRow(f"{key} is longer than {MOST_NAME_CHARACTERS} characters")
    if "/" in name or _CONTROL.search(name):
        raise BadRow(f"{key} holds a slash or a control character")
    return name


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
