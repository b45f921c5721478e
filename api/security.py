"""Which Host and Origin a request may name, before anything else reads it.

Any web page can send requests to 127.0.0.1; it cannot choose their Host (DNS rebinding shows the page's own name)
nor hide their Origin. So without keys both must name this machine.

With keys the Host must be one of ours. A page of another site cannot know a key; but a browser could add its cookie to
what such a page sends (SameSite=Strict forbids that already). So what comes with a cookie must come from our own page.
"""

import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import SAFE_METHODS, problem_response
from shared.errors import ForeignOrigin
from shared.settings import EVERYWHERE, Settings

COOKIE = "questmill_session"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
ANY_HOST = "*"
# They tell nothing but whether we live; whoever probes a container knows only its address.
PROBES = frozenset({"/healthz", "/readyz"})
PORT = r"(?::\d{1,5})?"

NOT_LOOPBACK = "The Host header must name this machine: use http://127.0.0.1 or http://localhost with the port."
NOT_FROM_HERE = "A web page from elsewhere may not use this API; only pages from this machine may."
FOREIGN_HOST = "The Host header names none of QUESTMILL_ALLOWED_HOSTS: add the name by which the API is reached."
FOREIGN_PAGE = (
    "What a browser sends with its cookie must come from the dashboard's own page: use a key, or let the proxy between "
    "pass the Host header on."
)

Headers = list[tuple[bytes, bytes]]


def own_names(settings: Settings) -> frozenset[str]:
    """The names by which we may be asked, as a Host has them; ANY_HOST among them allows all."""
    told = (settings.api_host, settings.api_reached_at, *settings.allowed_hosts)
    # Binding to all addresses names none.
    return frozenset({*LOOPBACK_NAMES, *(_as_in_url(host) for host in told if host not in EVERYWHERE)})


class RefuseForeignOrigin:
    """ASGI middleware: 403 for a Host that is not among `names`, and for an Origin that is not.

    With `keys_required` the Origin counts only for what is sent with our cookie or without a key: it must be that of
    the Host; what changes something by the cookie must have one.
    """

    def __init__(self, app: ASGIApp, *, names: Iterable[str], keys_required: bool) -> None:
        self._app = app
        self._keys_required = keys_required
        own = "|".join(".+" if name == ANY_HOST else re.escape(name) for name in sorted(names))
        self._own_host = re.compile(rf"(?:{own}){PORT}", re.IGNORECASE)
        self._own_origin = re.compile(rf"https?://(?:{own}){PORT}", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and not (self._keys_required and scope["path"] in PROBES):
            foreign = self._find_foreign(scope["method"], scope["headers"])
            if foreign is not None:
                await problem_response(ForeignOrigin(foreign))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _find_foreign(self, method: str, headers: Headers) -> str | None:
        hosts, origins = _values(headers, b"host"), _values(headers, b"origin")
        if len(hosts) != 1 or not self._own_host.fullmatch(hosts[0]):
            return FOREIGN_HOST if self._keys_required else NOT_LOOPBACK
        if self._keys_required:
            return None if _may_carry_cookie(method, headers, hosts[0], origins) else FOREIGN_PAGE
        return None if all(self._own_origin.fullmatch(origin) for origin in origins) else NOT_FROM_HERE


def _may_carry_cookie(method: str, headers: Headers, host: str, origins: list[str]) -> bool:
    if read_bearer(headers) is not None:
        return True
    has_to_say = method not in SAFE_METHODS and read_cookie(headers) is not None
    return all(_is_of_host(origin, host) for origin in origins) and bool(origins or not has_to_say)


def read_bearer(headers: Headers) -> str | None:
    """What a request gives as its key; None for none. Other ways than Bearer are a proxy's affair.

    Several are no key of ours: who stands before us may have looked at another one.
    """
    given = (value.partition(" ") for value in _values(headers, b"authorization"))
    keys = [key.strip() for scheme, _, key in given if scheme.lower() == "bearer"]
    return ", ".join(keys) if keys else None


def read_cookie(headers: Headers) -> str | None:
    """The token of our cookie; None when there is none.

    Several are no token of ours: a neighbouring name of our domain may have planted one.
    """
    return ", ".join(tokens) if (tokens := read_cookies(headers)) else None


def read_cookies(headers: Headers) -> list[str]:
    """What every cookie of our name holds."""
    given = (part.strip().partition("=") for value in _values(headers, b"cookie") for part in value.split(";"))
    return [token for name, _, token in given if name == COOKIE]


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for each, value in headers if each == name]


def _is_of_host(origin: str, host: str) -> bool:
    """Whatever the scheme: a proxy may take TLS off."""
    scheme, _, place = origin.lower().partition("://")
    return scheme in {"http", "https"} and place == host.lower()


def _as_in_url(host: str) -> str:
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
