"""Reads what providers answer about bulk submissions, apart from their formats."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

from shared.llm.bulk import BulkProblem
from shared.llm.provider import Outcome
from shared.llm.reading import load_json, storable

DETAIL_LENGTH = 200


def read_object(body: bytes, *, submits: bool = False) -> dict[str, Any]:
    """The body as a JSON object; raises BulkProblem."""
    found = load_json(body)
    if not isinstance(found, dict):
        raise malformed(storable(body[:DETAIL_LENGTH]), submits=submits)
    return found


def read_time(value: object) -> datetime:
    """A Unix time, or one as RFC 3339 writes it; raises ValueError."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value, UTC)
    found = datetime.fromisoformat(value if isinstance(value, str) else "")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_count(value: object) -> int:
    """A count; 0 where there is none."""
    return value if isinstance(value, int) and value > 0 else 0


def malformed(what: str, *, submits: bool = False) -> BulkProblem:
    """The problem of an answer with a good status that is not the API's shape."""
    return BulkProblem(Outcome.MALFORMED, f"the provider answered with something else: {what}", maybe_submitted=submits)


async def read_rows(
    chunks: AsyncIterator[bytes], guarded: Callable[[], AbstractAsyncContextManager[None]]
) -> AsyncGenerator[dict[str, Any], None]:
    """The objects of JSON lines as they arrive; each wait for more is made inside a `guarded()`.

    Split at line feeds only: text may hold other characters that Python takes for the end of a line. Raises
    BulkProblem at a line that is no JSON object, such as half of one: what follows would be taken for never run.
    """
    rest = b""
    while True:
        async with guarded():
            chunk = await anext(chunks, None)
        if chunk is None:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            yield read_object(line)
    if rest:
        yield read_object(rest)
