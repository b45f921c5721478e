"""ASGI middleware: a span for each request, within its caller's trace where it names one."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.wire import method_of
from shared.tracing import is_tracing, span

# Asked for again and again by machines, or open for hours.
NOT_TRACED = ("/metrics", "/healthz", "/readyz")


class TraceRequests:
    """A job keeps the trace of its POST: its batches and calls go on with it, in whatever process."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on within a span."""
        path = scope.get("path", "")
        if not is_tracing() or scope["type"] != "http" or path in NOT_TRACED or path.endswith("/events"):
            await self._app(scope, receive, send)
            return
        parent = Headers(scope=scope).get("traceparent")
        method = method_of(scope)
        with span(method, {"method": method}, parent=parent, serves=True) as its:

            async def noting_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = getattr(scope.get("route"), "path", "unmatched")
                    its.rename(f"{method} {route}")
                    its.note(route=route, status=message["status"])
                    if message["status"] >= 500:
                        its.fail(f"answered {message['status']}")
                await send(message)

            await self._app(scope, receive, noting_send)
