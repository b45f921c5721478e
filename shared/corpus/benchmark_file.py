"""A benchmark's file, line by line: JSON objects with the question in one of a few fields, or plain text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from shared.corpus.grams import Trace, trace
from shared.corpus.upload import LINE_BYTES, Line, OverlongLine
from shared.errors import TooLarge

TEXT_FIELDS = ("question", "prompt", "text")
REFERENCE_FIELDS = ("id", "task_id")
MOST_REFERENCE_CHARACTERS = 200
PROBLEMS_SHOWN = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# All hashes of a set are in memory together: some 150 MB.
MOST_HASHES = 2_000_000


class BadItem(ValueError):
    """The line holds no question; the message says why."""


@dataclass(frozen=True, slots=True)
class BenchmarkLine:
    """A question of a benchmark, how it is called there (None: by its line), and the field that held it."""

    question: str
    reference: str | None
    field: str


@dataclass(slots=True)
class BenchmarkFile:
    """What became of a file's lines: read = items + repeats + invalid. Only traces are kept of the questions.

    `fields` counts where the questions stood: "question", "prompt", "text", or "line" for a line of plain text.
    """

    items: list[tuple[str, Trace]] = field(default_factory=list)
    read: int = 0
    repeats: int = 0
    invalid: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[int, str]] = field(default_factory=list)
    _lines: int = 0
    _seen: set[int] = field(default_factory=set)
    _hashes: int = 0

    def read_lines(self, lines: Sequence[Line]) -> None:
        """Take in the next lines of the file. Raises TooLarge when the set is larger than one may be."""
        for line in lines:
            self._lines += 1
            content = line if isinstance(line, OverlongLine) else self._strip(line)
            if content == b"":
                continue
            self.read += 1
            try:
                self._add(parse_item(content))
            except BadItem as error:
                self.invalid += 1
                if len(self.problems) < PROBLEMS_SHOWN:
                    self.problems.append((self._lines, str(error)))

    def _strip(self, line: bytes) -> bytes:
        return (line.removeprefix(BYTE_ORDER_MARK) if self._lines == 1 else line).strip()

    def _add(self, line: BenchmarkLine) -> None:
        its = trace(line.question)
        if its.text in self._seen:
            self.repeats += 1
            return
        self._seen.add(its.text)
        self._hashes += 2 + len(its.grams) + len(its.shingles)
        if self._hashes > MOST_HASHES:
            raise TooLarge(
                f"The set is too large at line {self._lines:,}: it takes more than {MOST_HASHES:,} hashes. Nothing was "
                "loaded; load it in parts, each as a benchmark of its own."
            )
        self.fields[line.field] += 1
        self.items.append((line.reference or f"line {self._lines}", its))


def parse_item(line: Line) -> BenchmarkLine:
    """A question of a JSON object, which begins with a brace, or else the line itself. Raises BadItem."""
    if isinstance(line, OverlongLine):
        raise BadItem(f"longer than {LINE_BYTES:,} bytes")
    if not line.startswith(b"{"):
        return BenchmarkLine(_decode(line), None, "line")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        _decode(line)
        raise BadItem(f"not JSON: {error.msg} at column {error.colno}") from error
    name = next((each for each in TEXT_FIELDS if row.get(each) is not None), None)
    if name is None:
        raise BadItem(f"none of {', '.join(TEXT_FIELDS)} is there")
    if not isinstance(row[name], str):
        raise BadItem(f"{name} is not a text")
    if not row[name].strip():
        raise BadItem(f"{name} is empty")
    return BenchmarkLine(row[name], _reference(row), name)


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadItem(f"invalid UTF-8 at byte {error.start + 1}") from error


def _reference(row: dict[str, object]) -> str | None:
    given = next((row[name] for name in REFERENCE_FIELDS if row.get(name) is not None), None)
    if not isinstance(given, str | int) or isinstance(given, bool):
        return None
    return str(given).replace("\0", "")[:MOST_REFERENCE_CHARACTERS].strip() or None
