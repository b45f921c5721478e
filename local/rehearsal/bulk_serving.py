"""What the endpoints for bulk submissions of both formats have in common."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import orjson
from aiohttp import web

from local.rehearsal.bulk import BulkDesk
from local.rehearsal.wire import BadRequest, Trouble, Wire

DESK = web.AppKey("bulk", BulkDesk)
Handler = Callable[[web.Request], Awaitable[web.Response]]
Item = TypeVar("Item")


class NotFound(Exception):
    """There is no such file or submission."""


def guarded(wire: Wire, handler: Handler) -> Handler:
    """The handler for those with a key, its refusals in the format."""

    async def handle(request: web.Request) -> web.Response:
        request_id = f"req_{secrets.token_hex(12)}"
        headers = wire.headers({}, request_id)
        try:
            if any(request.headers.get(name) for name in wire.key_headers):
                response = await handler(request)
                response.headers.update(headers)
                return response
            refusal = Trouble.UNAUTHORISED, f"No API key: send the header {' or '.join(wire.key_headers)}."
        except BadRequest as error:
            refusal = Trouble.BAD_REQUEST, str(error)
        except NotFound as error:
            refusal = Trouble.NOT_FOUND, str(error)
        status, body = wire.trouble(*refusal, request_id)
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)

    return handle


def answer(content: object) -> web.Response:
    """A 200 with that JSON."""
    return web.Response(body=orjson.dumps(content), content_type="application/json")


def lines(rows: Sequence[object]) -> bytes:
    """JSON lines."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def created(request: web.Request, content: object) -> web.Response:
    """The answer to a new submission, unless it shall be lost: then the connection breaks instead."""
    settings = request.app[DESK].settings
    if settings.lose_next > 0:
        settings.lose_next -= 1
        if request.transport is not None:
            request.transport.abort()
    return answer(content)


def read_page_size(request: web.Request, *, default: int, most: int) -> int:
    """The query's `limit`; raises BadRequest."""
    text = request.query.get("limit", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise BadRequest(f"limit: a whole number from 1 to {most} is required")
    return int(text)


def place_of(items: Sequence[Item], item_id: str, ids: Callable[[Item], str]) -> int:
    """The place of the cursor in a list; raises BadRequest where it is not in it."""
    for place, item in enumerate(items):
        if ids(item) == item_id:
            return place
    raise BadRequest(f"nothing in this list has the id {item_id}")
