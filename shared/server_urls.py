"""URLs of servers, which may hold a password: what is wrong with one is said without repeating it."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
REDIS = ("redis", "rediss")
NOT_A_URL = "(not a valid URL)"
ENCODED = "in a password / is written %2F, ? %3F, # %23, @ %40 and % %25"


def check_server_url(url: str, schemes: Collection[str], example: str) -> str:
    """The URL itself when it can name a server; ValueError, without any of its text, otherwise."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in schemes:
        raise ValueError(f"write a URL like {example}")
    authority, path = re.fullmatch(r"([^/?#]*)([^?#]*).*", rest, re.DOTALL).groups()  # type: ignore[union-attr] # always
    if authority.count("@") > 1 or "@" in path or not all(map(_has_number, authority.rpartition("@")[2].split(","))):
        raise ValueError(f"where its host ends is not clear: {ENCODED}")
    return url


def _has_number(host: str) -> bool:
    """Whether the port of `host:port`, if there is one, is a number."""
    return re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d*)?", host) is not None


def hide_password(url: str) -> str:
    """Host, port and path."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return NOT_A_URL
    if "://" not in url or "@" in parts.path or (parts.netloc.rpartition("@")[2] and not parts.hostname):
        return NOT_A_URL
    return f"{parts.hostname or 'local socket'}{port}{parts.path}"
