"""Reading a job spec from a YAML or JSON file, or from stdin."""

import json
import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

STDIN = "-"
# With what aliases stand for; no more values fit into the megabyte that the API takes.
MOST_VALUES = 1_000_000
MERGE_TAG = "tag:yaml.org,2002:merge"


class BadSpecFile(Exception):
    """The spec file cannot be read; the text is one sentence for a person."""


class _StrictLoader(yaml.SafeLoader):
    """YAML whose mappings name each key once: the plain loader lets the last one win in silence."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        if key_node.tag == MERGE_TAG:
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


def _count_values(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many values a node stands for, with those of an alias each time; too many for one inside itself."""
    if id(node) not in counted:
        counted[id(node)] = MOST_VALUES + 1
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inside = node.value
        elif isinstance(node, yaml.MappingNode):
            inside = [each for pair in node.value for each in pair]
        counted[id(node)] = 1 + sum(_count_values(each, counted) for each in inside)
    return counted[id(node)]


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_spec(source: str) -> dict[str, Any]:
    """The spec in a file, or on stdin for "-". Raises BadSpecFile."""
    return read_mapping(source, "a job spec: a mapping with `dataset` and `mix`")


def read_mapping(source: str, what: str) -> dict[str, Any]:
    """What a YAML or JSON file holds, or stdin for "-"; `what` says what is expected of it. Raises BadSpecFile."""
    name = "stdin" if source == STDIN else source
    try:
        raw = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadSpecFile(f"{name} is not UTF-8 (byte {error.start}).") from None
    except OSError as error:
        raise BadSpecFile(f"{name} cannot be read: {error.strerror}.") from None
    try:
        # JSON is YAML too, but for its tabs and escapes.
        content = _parse(text)
        _check_values(content, "")
    except yaml.YAMLError as error:
        raise BadSpecFile(f"{name} is not valid YAML: {_one_line(error)}.") from None
    except (ValueError, RecursionError) as error:
        raise BadSpecFile(f"{name} is not valid: {_one_line(error)}.") from None
    if not isinstance(content, dict):
        raise BadSpecFile(f"{name} does not hold {what}.")
    return content


def _parse(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return _parse_yaml(text)
    try:
        return _parse_json(text)
    except json.JSONDecodeError:
        with suppress(yaml.YAMLError):
            return _parse_yaml(text)  # such as "{dataset: mine, ...}"
        raise


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _parse_yaml(text: str) -> Any:
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_values(node, {}) > MOST_VALUES:
            raise ValueError(f"with its aliases it stands for more than {MOST_VALUES:,} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_values(value: object, place: str) -> None:
    """Raise ValueError, which names its place, for what YAML knows and JSON does not: dates, binary, infinity."""
    match value:
        case dict():
            for key, inside in value.items():
                where = f"{place}.{key}" if place else str(key)
                _check_values(key, where)
                _check_values(inside, where)
        case list():
            for number, inside in enumerate(value):
                _check_values(inside, f"{place}.{number}" if place else str(number))
        case float() if not math.isfinite(value):
            raise ValueError(f"{place}: {value} is no number to count with")
        case str() | int() | float() | None:
            pass
        case _:
            raise ValueError(f"{place}: YAML reads this as a {type(value).__name__}; put quotes around it")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    collected: dict[str, Any] = {}
    for key, value in pairs:
        if key in collected:
            raise ValueError(f"{key!r} is given twice")
        collected[key] = value
    return collected


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"{getattr(error, 'problem', '')} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split()).rstrip(".")
