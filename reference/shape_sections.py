"""Shapes and enumerations of the OpenAPI document, each a heading with a table. Pure but for the enums' source."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reference.enumerations import meanings
from reference.markdown import paragraphs, prose, table
from reference.schema_words import Schema, default_of, name_of, type_of

Show = Callable[[str], str]


def fields_of(shape: Schema, show: Show) -> list[str]:
    """A table of what a person sends: field, type, default, what."""
    required = shape.get("required", ())
    return table(
        ("field", "type", "default", "what"),
        (
            (f"`{name}`", type_of(field, show), "required" if name in required else default_of(field), _what(field))
            for name, field in shape["properties"].items()
        ),
    )


def answer_of(shape: Schema, show: Show) -> list[str]:
    """A table of what a person gets: field, type, what."""
    rows = ((f"`{name}`", type_of(field, show), _what(field)) for name, field in shape["properties"].items())
    return table(("field", "type", "what"), rows)


def enumeration(name: str, shape: Schema) -> list[str]:
    """Values with what they mean, where that is said."""
    known = meanings(name, shape["enum"])
    intro = paragraphs(shape.get("description", ""))
    if not any(known.values()):
        return [*intro, ", ".join(f"`{value}`" for value in shape["enum"]), ""]
    return [*intro, *table(("value", "what"), ((f"`{value}`", known.get(value, "")) for value in shape["enum"]))]


def reachable(names: Iterator[str] | list[str], shapes: Mapping[str, Schema]) -> list[str]:
    """These shapes and all that they refer to, in the order in which a reader meets them."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += refers_to(shapes[name])
    return list(found)


def refers_to(node: Any) -> list[str]:
    """The shapes that a part of the document refers to."""
    if isinstance(node, list):
        return [name for each in node for name in refers_to(each)]
    if not isinstance(node, dict):
        return []
    own = [name_of(node["$ref"])] if isinstance(node.get("$ref"), str) else []
    return own + [name for each in node.values() for name in refers_to(each)]


def _what(field: Schema) -> str:
    return prose(field.get("description", ""))
