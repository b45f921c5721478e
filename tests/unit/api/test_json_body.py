import asyncio
import json

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from api.job_shapes import ResumeBody
from api.json_body import TextsJson, canonical_hash, parse_json, parse_model
from api.problems import problem_response
from shared.errors import InvalidInput
from tests.processor import takes_at_most

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
    keys = ",".join(f'"k{number}": 1' for number in range(9_900))
    objects = ",".join([f"{{{keys}}}"] * 9)
    with takes_at_most(2):  # each key looked for among all took a minute
        assert complaint(f'[{objects},{{{keys}, "k9899": 2}}]'.encode()) == ("9.k9899", "given twice")


@pytest.mark.parametrize(
    "body",
    [b"{" + b",".join(b'"%d":1' % n for n in range(10_001)) + b"}", b"[" + b",".join([b"{}"] * 100_001) + b"]"],
    ids=["names", "objects"],
)
def test_more_names_or_objects_than_any_body_has_are_refused(body: bytes) -> None:
    assert complaint(body) == ("body", "more than 10,000 names in an object, or than 100,000 objects")


def test_a_problem_with_many_mistakes_shows_the_first_and_says_how_many() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_model(ResumeBody, {f"key-{n}": 1 for n in range(9_000)})
    assert caught.value.detail.endswith("key-9: unknown key (and 8,990 more)")
    assert len(json.loads(bytes(problem_response(caught.value).body))["errors"]) == 100


def test_of_a_long_number_no_more_than_its_head_is_repeated() -> None:
    assert complaint(b'{"a": ' + b"1" * 4_000 + b"e999}") == ("body", f"the number {'1' * 20}... is too large")


async def test_others_are_served_while_a_large_body_is_read() -> None:
    body = b'{"texts": [' + b",".join([b'"a"'] * 1_000_000) + b"]}"
    sent = False

    async def receive() -> Message:
        nonlocal sent
        message = {"type": "http.disconnect"} if sent else {"type": "http.request", "body": body, "more_body": False}
        sent = True
        return message

    app = FastAPI()

    @app.post("/")
    async def read(data: TextsJson) -> int:
        assert isinstance(data, dict)
        return len(data["texts"])

    async def send(_: Message) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    reading, turns = asyncio.create_task(app(scope, receive, send)), 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    await reading
    # Read by the loop itself it takes some twenty.
    assert turns > 100


def test_the_hash_is_blind_to_order_and_space_only() -> None:
    first = canonical_hash(parse_json(b'{"a": 1, "b": {"c": 0.60}}'))
    assert first == canonical_hash(parse_json(b'{ "b":{"c":0.6},"a":1}'))
    assert first != canonical_hash(parse_json(b'{"a": 1, "b": {"c": 0.61}}'))


def test_a_wrong_field_of_a_body_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_model(ResumeBody, {"budget_usd": -1, "colour": "red"})
    assert {error.loc for error in caught.value.errors} == {"budget_usd", "colour"}
