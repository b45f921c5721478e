import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.corpus.baseline_row import BadRow, BaselineRow, parse_row

GOOD = {"question": "Why?", "domain": "Tool_Use", "difficulty": " EASY "}


def row(**fields: object) -> bytes:
    return json.dumps(GOOD | fields).encode()


def test_names_and_tags_fold_and_the_rest_is_kept() -> None:
    parsed = parse_row(row(tags=[" Word-Problem", "word problem", "", "MATH"], id=7, source={"licence": "MIT"}))
    assert parsed == BaselineRow(
        question="Why?",
        domain="tool use",
        difficulty="easy",
        tags=("word problem", "math"),
        metadata=b'{"id":7,"source":{"licence":"MIT"}}',
    )


@pytest.mark.parametrize(
    "text", [r"$\frac{1}{2} \u0000 \times$", "two\nlines\tand a tab", "naïve \u201cquotes\u201d 🥚", "a\fb"]
)
def test_the_question_is_kept_letter_by_letter(text: str) -> None:
    parsed = parse_row(row(question=text, note=text))
    assert parsed.question == text
    assert orjson.loads(parsed.metadata or b"") == {"note": text}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"not json", "not JSON"),
        (b'{"question": "a', "not JSON"),
        (b'{"question": "caf\xe9"}', "invalid UTF-8 at byte 18"),
        (b'"a text"', "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{}", "question is missing"),
        (row(question=None), "question is missing"),
        (row(question=["Why?"]), "question is not a text"),
        (row(question=" \n "), "question is empty"),
        (row(question="a\0b"), "question holds a NUL"),
        (row(question="\ud800"), "not JSON"),
        (b'{"question": "Why?", "domain": "math"}', "difficulty is missing"),
        (row(domain=5), "domain is not a text"),
        (row(domain="_"), "domain is empty"),
        (row(domain="x" * 65), "domain is longer than 64"),
        (row(domain="math/hard"), "domain holds a slash"),
        (row(difficulty="easy\0"), "difficulty holds a slash or a character that does not show"),
        (row(tags={"a": 1}), "tags is not a list"),
        (row(tags=["a", 1]), "tags is not a list"),
        (row(tags=["a\0"]), "a tag holds a NUL"),
        (row(note={"deep": ["a\0"]}), "a field holds a NUL"),
        (row()[:-1] + b', "n": ' + b"[" * 400 + b"]" * 400 + b"}", "nested"),
        (b"[" * 100_000, "not JSON"),
        (row()[:-1] + b', "n": 1e999}', "not JSON"),
    ],
)
def test_a_bad_row_says_why(line: bytes, why: str) -> None:
    with pytest.raises(BadRow, match=why):
        parse_row(line)


def test_numbers_beyond_64_bits_are_kept_as_floats() -> None:
    assert parse_row(row()[:-1] + b', "n": 123456789012345678901234567890}').metadata == b'{"n":1.2345678901234568e+29}'


@given(
    st.binary(max_size=60) | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(lambda it: row(tags=it))
)
def test_any_line_is_a_row_or_a_bad_row(line: bytes) -> None:
    with suppress(BadRow):
        parse_row(line)
