"""What schemathesis has to be told of bodies that are no JSON: it loads this by SCHEMATHESIS_HOOKS."""

import gzip
import json
from typing import Any

import schemathesis


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
