import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.job_shapes import ResumeBody
from api.json_body import canonical_hash, parse_json, parse_model
from shared.errors import InvalidInput

PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT, inner, max_size=4),
)


def complaint(body: bytes) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        parse_json(body)
    [error] = caught.value.errors
    return error.loc, error.msg


@given(JSON_VALUES)
def test_valid_json_comes_back_as_it_was(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def test_a_key_given_twice_is_named_with_its_place() -> None:
    assert complaint(b'{"mix": {"domains": {"math": 1, "math": 2}}}') == ("mix.domains.math", "given twice")


@pytest.mark.parametrize(
    ("body", "loc", "msg"),
    [
        (b'{"a": "\xff"}', "body", "not valid UTF-8 at byte 7"),
        (b'{"a": 1', "body", "not valid JSON"),
        (b"", "body", "not valid JSON"),
        (b'{"a": NaN}', "body", "NaN is not a JSON number"),
        (b'{"a": 1e999}', "body", "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "body", "digits"),
        (b"[" * 200_000, "body", "nested too deeply"),
        (b"[" * 102 + b"]" * 102, "body", "nested too deeply"),
        (b'{"a":' * 102 + b"1" + b"}" * 102, "body", "nested too deeply"),
        (b'{"a": ["x", "\\u0000"]}', "a.1", "U+0000"),
        (b'{"a": "\\ud800"}', "a", "surrogate"),
        (b'{"a": {"\\ud800": 1}}', "a", "surrogate"),
    ],
    ids=[
        "utf-8", "cut", "empty", "nan", "infinite", "endless", "cut and deep", "deep list", "deep object", "nul",
        "surrogate", "key",
    ],
)  # fmt: skip
def test_a_flaw_is_named(body: bytes, loc: str, msg: str) -> None:
    found_loc, found_msg = complaint(body)
    assert found_loc == loc
    assert msg in found_msg


def test_a_repeated_key_among_many_is_found_in_linear_time() -> None:
    keys = ",".join(f'"k{number}": 1' for number in range(60_000))
    before = time.process_time()
    assert complaint(f'{{{keys}, "k59999": 2}}'.encode()) == ("k59999", "given twice")
    assert time.process_time() - before < 2  # each key looked for among all took minutes


def test_the_hash_is_blind_to_order_and_space_only() -> None:
    first = canonical_hash(parse_json(b'{"a": 1, "b": {"c": 0.60}}'))
    assert first == canonical_hash(parse_json(b'{ "b":{"c":0.6},"a":1}'))
    assert first != canonical_hash(parse_json(b'{"a": 1, "b": {"c": 0.61}}'))


def test_a_wrong_field_of_a_body_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_model(ResumeBody, {"budget_usd": -1, "colour": "red"})
    assert {error.loc for error in caught.value.errors} == {"budget_usd", "colour"}
