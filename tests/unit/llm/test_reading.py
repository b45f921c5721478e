from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.provider import Outcome
from shared.llm.reading import read_reply, storable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["choices", "message", "content", "usage", "text", "type", "finish_reason", "stop_reason", "prompt_tokens"]
)
ODD_REPLY = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@given(reply=ODD_REPLY | st.binary(max_size=50))
def test_any_body_is_read_without_an_exception(provider: str, reply: Any) -> None:
    body = reply if isinstance(reply, bytes) else orjson.dumps(reply)
    reading = read_reply(provider, body)
    assert reading.outcome in Outcome
    assert "\x00" not in storable(body)
    assert read_reply(provider, storable(body)).outcome in Outcome


def test_half_a_surrogate_pair_does_not_lose_the_reply() -> None:
    raw = r'{"choices": [{"finish_reason": "stop", "message": {"content": "a \ud83d b"}}]}'
    reading = read_reply("openai", raw)
    assert (reading.outcome, reading.text) == (Outcome.OK, "a ? b")


def test_control_characters_of_the_model_reach_the_parser_unchanged() -> None:
    raw = orjson.dumps({"choices": [{"finish_reason": "stop", "message": {"content": '["\\frac \x0c"]'}}]})
    assert read_reply("openai", raw).text == '["\\frac \x0c"]'


def test_parts_of_text_are_joined_and_thinking_is_left_out() -> None:
    content = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": '{"questions": '},
        {"type": "text", "text": "[]}"},
    ]
    raw = orjson.dumps({"content": content, "stop_reason": "end_turn"})
    assert read_reply("anthropic", raw).text == '{"questions": []}'


@pytest.mark.parametrize("count", [-1, 1.5, True, "7", None, 2**40])
def test_usage_that_is_no_count_is_no_usage(count: object) -> None:
    body = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": count, "completion_tokens": 1}}
    assert read_reply("openai", orjson.dumps(body)).usage is None


def test_server_without_a_finish_reason_is_understood() -> None:
    assert read_reply("openai", b'{"choices": [{"message": {"content": "[]"}}]}').outcome is Outcome.OK
