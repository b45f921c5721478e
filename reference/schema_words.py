"""What a JSON schema allows, in a few words. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from reference.markdown import either

Schema = Mapping[str, Any]
TYPES = {"string": "text", "boolean": "true or false", "integer": "integer", "number": "number", "null": "null"}
FORMATS = {"uuid": "UUID", "date-time": "time", "password": "secret", "path": "path"}
_CHOICE = re.compile(r"\^\(([\w|]+)\)\$")


def name_of(reference: str) -> str:
    """The shape that a `$ref` refers to."""
    return reference.rpartition("/")[2]


def type_of(schema: Schema, show: Callable[[str], str]) -> str:
    """The type with its limits: "list (1 to 8 items) of text"; `show` writes the name of another shape."""
    if "$ref" in schema:
        return show(name_of(schema["$ref"]))
    if "anyOf" in schema:
        of = [type_of(each, show) for each in schema["anyOf"]]
        # A decimal may stand in quotes, which keep its digits.
        return f"number{_limits(schema)}" if of == ["number", "text"] else " or ".join(dict.fromkeys(of))
    match schema.get("type"):
        case "array":
            return f"list{_limits(schema)} of {type_of(schema.get('items', {}), show)}"
        case "object":
            inner = schema.get("additionalProperties")
            return f"map{_limits(schema)} to {type_of(inner, show)}" if isinstance(inner, dict) and inner else "object"
        case str(kind):
            return _of_value(kind, schema)
    return "anything"


def default_of(schema: Schema) -> str:
    """The default as one writes it; nothing where that is null, empty or another shape's."""
    default = schema.get("default")
    if default is None or default in ("", [], {}) or isinstance(default, dict):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(plain(default), ensure_ascii=False)}`"


def plain(value: Any) -> Any:
    """Whole numbers without a point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _of_value(kind: str, schema: Schema) -> str:
    if "enum" in schema:
        return either(schema["enum"])
    if choice := _CHOICE.fullmatch(schema.get("pattern", "")):
        return either(choice[1].split("|"))
    return FORMATS.get(schema.get("format", ""), TYPES[kind]) + _limits(schema)


def _limits(schema: Schema) -> str:
    """ " (1 to 8 items)", or nothing."""
    words = [
        _range(schema, "minimum", "maximum"),
        f"more than {_number(schema['exclusiveMinimum'])}" if "exclusiveMinimum" in schema else "",
        f"below {_number(schema['exclusiveMaximum'])}" if "exclusiveMaximum" in schema else "",
        _range(schema, "minLength", "maxLength", " character"),
        _range(schema, "minItems", "maxItems", " item"),
        _range(schema, "minProperties", "maxProperties", " key"),
    ]
    said = ", ".join(word for word in words if word)
    return f" ({said})" if said else ""


def _range(schema: Schema, least: str, most: str, of: str = "") -> str:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return ""
    counted = f"{of}s" if of and (low if high is None else high) != 1 else of
    if low is None or high is None:
        return f"at most {_number(high)}{counted}" if low is None else f"at least {_number(low)}{counted}"
    return f"{_number(low)} to {_number(high)}{counted}"


def _number(value: Any) -> str:
    return "2^63" if value == 2**63 else f"{plain(value):,}"
