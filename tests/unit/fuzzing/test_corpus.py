"""What people upload: any bytes are rows or say why not, and no text takes long to fold, hash or compare."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from shared.corpus.baseline_row import BadRow, BaselineRow, parse_row
from shared.corpus.benchmark_file import BadItem, parse_item
from shared.corpus.fingerprint import fingerprint
from shared.corpus.grams import trace
from shared.corpus.normalise import normalise, template_of, text_hash
from shared.corpus.upload import OverlongLine, read_lines
from shared.errors import BadUpload
from tests.unit.fuzzing.shapes import SOME, Shape, fuzzed, fuzzed_at_length, nasty_texts, shapes
from tests.unit.fuzzing.test_replies import within_its_time

LONG = 1_000_000 if SOME else 60_000  # a line of an upload has a megabyte at most


@st.composite
def spoiled_uploads(draw: st.DrawFn) -> list[bytes]:
    """A file, perhaps packed, with some bytes of it changed, in pieces."""
    rows = draw(st.lists(nasty_texts.map(_row) | st.binary(max_size=80), max_size=8))
    data = bytearray(b"\n".join(rows))
    if draw(st.booleans()):
        data = bytearray(gzip.compress(bytes(data), 1))
    for place, value in draw(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)):
        if data:
            data[place % len(data)] = value
    size = draw(st.integers(1, 300))
    return [bytes(data[start : start + size]) for start in range(0, len(data), size)]


def _row(text: str) -> bytes:
    fields = {"question": text, "domain": "math", "difficulty": "easy", "tags": [text], "note": text}
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")


async def _in_pieces(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@fuzzed(120)
@given(spoiled_uploads())
async def test_any_upload_is_rows_or_problems(pieces: list[bytes]) -> None:
    try:
        lines = [line async for some in read_lines(_in_pieces(pieces)) for line in some]
    except BadUpload:
        return
    for line in lines:
        if isinstance(line, OverlongLine):
            continue
        with suppress(BadRow):
            _check_row(parse_row(line))
        with suppress(BadItem):
            parse_item(line)


def _check_row(row: BaselineRow) -> None:
    for text in (row.question, row.domain, row.difficulty, *row.tags):
        assert "\0" not in text
        text.encode()
    assert "/" not in row.domain + row.difficulty
    assert row.metadata is None or isinstance(json.loads(row.metadata), dict)


@fuzzed(150)
@given(nasty_texts)
def test_any_text_folds_once_and_has_its_hashes(text: str) -> None:
    folded = normalise(text)
    assert normalise(folded) == folded
    assert fingerprint(text).text_hash == text_hash(text)
    assert trace(text) == trace(text)


@fuzzed_at_length(10)
@given(shapes)
@example(Shape("", ("...",), False, "```"))  # a sentence's end was looked for at each of a million dots
def test_a_long_text_takes_linear_time(shape: Shape) -> None:
    text = shape.text(LONG)
    within_its_time(template_of, text)
    within_its_time(fingerprint, text)
    within_its_time(trace, text)
    within_its_time(lambda text: _try_row(_row(text)), text)


def _try_row(line: bytes) -> None:
    with suppress(BadRow):
        parse_row(line)
