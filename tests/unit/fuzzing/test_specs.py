"""What people post: any JSON in any place of a spec is taken or refused by name, and large bodies are read quickly."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_body import canonical_hash, parse_json
from shared.errors import InvalidInput
from shared.jobs.spec import JobSpec, parse_spec
from tests.processor import takes_at_most
from tests.unit.fuzzing.shapes import fuzzed, nasty_texts

SPEC: dict[str, Any] = {
    "dataset": "phase1",
    "mix": {
        "domains": {"math": 60, "reading": 40},
        "difficulties": {
            "easy": {"token_share": 0.6, "mean_tokens": 15},
            "hard": {"token_share": 0.4, "mean_tokens": 500},
        },
        "mean_tokens": {"math": {"hard": 400}},
        "minimum": {"hard": 3},
    },
    "models": {"generate": {"easy": "openai/gpt-6-luna"}, "answer": {"hard": ["openai/a", "anthropic/b"]}},
    "stages": ["generate", "validate", "answer"],
    "mode": {"generate": "bulk"},
    "judging": {"votes": 3},
    "answering": {"samples": 2, "questions_per_call": {"easy": 5}},
    "atlas": {"math": {"topics": {"sums": ["of two"]}, "pools": {"boats": {"say": "the {boat}", "boat": ["ketch"]}}}},
    "gates": {"language": False},
    "notify": {"url": "https://example.org/hook", "events": ["failed"]},
    "budget_usd": "25.00",
    "seed": 7,
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | nasty_texts
    | st.sampled_from([10**400, "1e-99999999", -0.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(nasty_texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spoiled_specs(draw: st.DrawFn) -> dict[str, Any]:
    """The spec with up to three places replaced, taken out or added."""
    spec = copy.deepcopy(SPEC)
    for _ in range(draw(st.integers(1, 3))):
        node: Any = spec
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and draw(st.integers(0, 3)):
                node = node[key]
                continue
            _spoil(draw, node, key)
            break
    return spec


def _spoil(draw: st.DrawFn, node: Any, key: Any) -> None:
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            node[key] = draw(VALUES)
        case "remove":
            del node[key]
        case _ if isinstance(node, dict):
            node[draw(nasty_texts)] = draw(VALUES)
        case _:
            node.append(draw(VALUES))


@fuzzed(150)
@given(spoiled_specs())
def test_a_spoiled_spec_is_taken_or_refused_by_name(spoiled: dict[str, Any]) -> None:
    try:
        spec = parse_spec(spoiled)
    except InvalidInput:
        return
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec


@fuzzed(150)
@given(st.binary(max_size=200) | nasty_texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_body_is_json_or_refused(body: bytes) -> None:
    with suppress(InvalidInput):
        canonical_hash(parse_json(body))


def _many(form: str, count: int = 40_000) -> str:
    return "{" + ",".join(form.format(i=number) for number in range(count)) + "}"


LARGE = {
    "unknown keys": _many('"k{i}": 1'),
    "a key again and again": _many('"k": 1'),
    "a key again at the end": _many('"k{i}": 1')[:-1] + ', "k39999": 1}',
    "domains": json.dumps(
        {"dataset": "a", "mix": {"domains": {f"d{i}": 1 for i in range(40_000)}, "difficulties": {}}}
    ),
    "domains that fold to one": json.dumps(
        {"dataset": "a", "mix": {"domains": {f"A{' ' * (i % 300)}b": 1 for i in range(300)}, "difficulties": {}}}
    ),
    "models": json.dumps({**SPEC, "models": {"answer": {"easy": [f"openai/m{i}" for i in range(40_000)]}}}),
    "topics": json.dumps({**SPEC, "atlas": {"math": {"topics": {f"t{i}": ["a", "a"] for i in range(20_000)}}}}),
    "stages": json.dumps({**SPEC, "stages": ["generate"] * 80_000}),
    "a long name": json.dumps({**SPEC, "mix": {"domains": {"x" * 900_000: 1}, "difficulties": {}}}),
    "a long number": '{"seed": 1' + "0" * 4_000 + "}",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_body_is_refused_quickly(name: str) -> None:
    with takes_at_most(3), pytest.raises(InvalidInput):
        parse_spec(parse_json(LARGE[name].encode()))
