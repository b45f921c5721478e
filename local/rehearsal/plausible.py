"""A short plausible JSON for any simple schema: the answer to prompts that do not ask for questions."""

from collections.abc import Mapping
from random import Random
from typing import Any

_TEXTS = (
    "The statement holds, since both given facts point the same way.",
    "It follows from the second condition once the first one is met.",
    "The result is about right; only the last step deserves a closer look.",
    "Start with the smaller part, then apply the same rule to the rest.",
    "There is not enough information to say more than that.",
)
_DEEPEST = 8
_MOST_ITEMS = 3


class UnknownSchema(ValueError):
    """The schema uses something that is not played here."""


def fill_schema(schema: Mapping[str, Any], random: Random, depth: int = 0) -> object:
    """A value that satisfies the schema; raises UnknownSchema for references, patterns and the like."""
    if depth > _DEEPEST or "$ref" in schema or "pattern" in schema:
        raise UnknownSchema("too deep, or not a simple schema")
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return random.choice(schema["enum"])
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return fill_schema(schema[union][0], random, depth + 1)
    kind = schema.get("type")
    return _fill_kind(kind[0] if isinstance(kind, list) else kind, schema, random, depth)


def _fill_kind(kind: object, schema: Mapping[str, Any], random: Random, depth: int) -> object:
    match kind:
        case "object":
            properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
            return {name: fill_schema(of, random, depth + 1) for name, of in properties.items()}
        case "array":
            least = int(schema.get("minItems", 1))
            count = max(least, min(_MOST_ITEMS, int(schema.get("maxItems", _MOST_ITEMS))))
            return [fill_schema(schema.get("items", {"type": "string"}), random, depth + 1) for _ in range(count)]
        case "string":
            return random.choice(_TEXTS)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    raise UnknownSchema(f"type {kind!r}")
