"""What schemathesis has to be told of bodies: it loads this by SCHEMATHESIS_HOOKS."""

import gzip
import json
from random import Random
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation

SPEC_TAKERS = {"POST /v1/jobs", "POST /v1/plans"}


def as_lines(value: Any) -> bytes:
    """A list as lines of JSON, all else as one line."""
    return b"\n".join(map(_as_line, value)) if isinstance(value, list) else _as_line(value)


def _as_line(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode("utf-8", "surrogatepass")


@schemathesis.serializer("application/x-ndjson")
def _(_: Any, value: Any) -> bytes:
    return as_lines(value)


@schemathesis.serializer("application/gzip")
def _(_: Any, value: Any) -> bytes:
    return gzip.compress(as_lines(value), 1)


@schemathesis.deserializer("application/x-ndjson")
def _(_: Any, response: Any) -> Any:
    # The schema is that of each line.
    lines = response.content.splitlines()
    return json.loads(lines[0]) if lines else {}


# A spec has rules that no schema tells (shares add up, names are known), so that of a thousand made by it hardly one is
# a job. Every second is made one here, from what was generated: small, and the same for the same seed.
@schemathesis.hook
def before_call(_: Any, case: Any, __: dict[str, Any]) -> None:
    """Make a job of every second spec that fits its schema."""
    fits = case.meta is None or not case.meta.is_negative_at(ParameterLocation.BODY)
    if case.operation.label in SPEC_TAKERS and fits and isinstance(case.body, dict):
        dice = Random(repr(case.body))
        if dice.random() < 0.5 and isinstance(case.body.get("dataset"), str):
            case.body = small_spec(case.body["dataset"], dice)


def small_spec(dataset: str, dice: Random) -> dict[str, Any]:
    """A job of some twenty calls at most."""
    hard = dice.choice([0, 0.3])
    spec: dict[str, Any] = {
        "dataset": dataset,
        "mix": {
            "domains": {name: dice.randint(1, 12) for name in dice.sample(["math", "reading", "coding", "sailing"], 2)},
            "difficulties": {
                "easy": {"token_share": 1 - hard, "mean_tokens": 15},
                **({"hard": {"token_share": hard, "mean_tokens": 60}} if hard else {}),
            },
        },
        "stages": ["generate", "validate", "answer"][: dice.randint(1, 3)],
        "seed": dice.randint(0, 2**40),
    }
    if dice.random() < 0.2:
        spec["mode"] = "bulk"
    if dice.random() < 0.3:
        spec["budget_usd"] = dice.choice(["0.0001", "0.05", "2"])
    return spec
