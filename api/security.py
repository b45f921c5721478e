"""Without keys, only this machine's own pages and programs may use the API.

Any web page can send requests to 127.0.0.1; it cannot choose their Host (DNS rebinding shows the page's own name)
nor hide their Origin. So both must name this machine, or the request is refused before anything reads it.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import problem_response
from shared.errors import ForeignOrigin

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
# Binding to all addresses names none.
WILDCARD_HOSTS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class RefuseForeignOrigin:
    """ASGI middleware: 403 for a Host or Origin that is neither loopback nor the address we were told to bind."""

    def __init__(self, app: ASGIApp, *, bound_host: str) -> None:
        self._app = app
        names = {*LOOPBACK_NAMES}
        if bound_host not in WILDCARD_HOSTS:
            names.add(f"[{bound_host}]" if ":" in bound_host else bound_host)
        own = "|".join(re.escape(name) for name in sorted(names))
        self._own_host = re.compile(rf"(?:{own})(?::\d{{1,5}})?", re.IGNORECASE)
        self._own_origin = re.compile(rf"https?://(?:{own})(?::\d{{1,5}})?", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            foreign = self._find_foreign(scope["headers"])
            if foreign is not None:
                await problem_response(ForeignOrigin(foreign))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _find_foreign(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not self._own_host.fullmatch(hosts[0]):
            return "The Host header must name this machine: use http://127.0.0.1 or http://localhost with the port."
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        if not all(self._own_origin.fullmatch(origin) for origin in origins):
            return "A web page from elsewhere may not use this API; only pages from this machine may."
        return None
