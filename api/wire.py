"""How we read HTTP: strictly, and little of it at a time, since whoever sends it may be a stranger."""

from http import HTTPMethod
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.problems import problem_response
from shared.errors import AmbiguousLength, NotHttp

# Longer than clients keep an idle connection (httpx2: 5 s, as uvicorn by default), or one that is just being closed
# gets the next request, whose answer is then a reset.
KEEP_ALIVE_SECONDS = 60
# Of a request line with its headers, of the line before a chunk, of trailers; what has come in one read may be longer.
HEAD_BYTES = 32_768


class Protocol(H11Protocol):
    """h11, as uvicorn speaks it; what it cannot read it answers with a problem, as all others do."""

    def send_400_response(self, msg: str) -> None:
        """Answer, unless an answer has begun, and end the connection."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = problem_response(NotHttp(msg))
            headers = [*answer.raw_headers, (b"connection", b"close")]
            self._write(h11.Response(status_code=answer.status_code, headers=headers, reason=b"Bad Request"))
            # Before the first request there is none.
            asked: dict[str, object] = vars(self)["scope"] or {}
            if asked.get("method") != "HEAD":
                self._write(h11.Data(data=bytes(answer.body)))
                self._write(h11.EndOfMessage())
        # Who is still at work on a request of before answers nobody, as when a client has gone.
        if (cycle := vars(self)["cycle"]) is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _write(self, event: h11.Event) -> None:
        self.transport.write(self.conn.send(event) or b"")


# uvicorn's options. Its other reader, httptools, keeps heads of any size in memory, takes quadratic time for a long
# URL, mixes trailers into the headers, and loses the body of a request that offers h2c, as Java's client does. Here
# h11 takes 0.1 ms more of a request (of 1.3).
WIRE: dict[str, Any] = {
    "http": Protocol,
    "h11_max_incomplete_event_size": HEAD_BYTES,
    "ws": "none",
    "timeout_keep_alive": KEEP_ALIVE_SECONDS,
    "access_log": False,
    "server_header": False,
}
LENGTHS = frozenset({b"content-length", b"transfer-encoding"})


def method_of(scope: Scope) -> str:
    """The request's method, for labels and names; "other" for one that HTTP does not define."""
    method: str = scope["method"]
    return method if method in HTTPMethod.__members__ else "other"


class RefuseAmbiguousLength:
    """ASGI middleware: 400, and the end of the connection, for a request that says in two ways how long it is.

    A proxy before us may believe the other one: the rest would then be a request that it never saw (RFC 9112, 6.1).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and {name for name, _ in scope["headers"]} >= LENGTHS:
            error = AmbiguousLength("Send Content-Length or Transfer-Encoding, not both.")
            await problem_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)
