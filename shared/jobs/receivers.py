"""Where notifications may go. A URL that a job names must not lead into the server's own network: whoever may post a
job could otherwise have the server talk to machines that they cannot reach themselves.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from shared.errors import FieldError, InvalidInput
from shared.settings import Settings

RESOLVE_SECONDS = 3.0
LONGEST_URL = 2_000
# Addresses of IPv4 in the clothes of IPv6: a translator on the way would undress them.
NAT64 = IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = IPv6Network("2000::/3")
# What Python 3.11 takes for global: RFC 9637 (documentation) and RFC 6890 (protocols; in one cloud its metadata).
DOCUMENTATION = IPv6Network("3fff::/20")
PROTOCOLS = IPv4Network("192.0.0.0/24")
# Of an address in the public range every virtual machine of a cloud is served by its own host:
# learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16.
OF_THE_CLOUD = IPv4Network("168.63.129.16/32")


class UnusableReceiver(InvalidInput):
    """A notification's URL that the server does not call."""

    type = "unusable-receiver"
    title = "The URL cannot be notified"

    def __init__(self, why: str) -> None:
        super().__init__(f"notify.url: {why}", [FieldError("notify.url", why)])
        self.why = why


def check_url(url: str) -> str:
    """The URL itself when it has the form of one that can be called; ValueError otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("not a URL") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError('write a URL like "https://example.org/hooks/questmill"')
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user and password in the URL: what is sent is signed")
    if len(url) > LONGEST_URL or not url.isascii() or any(char <= " " for char in url):
        raise ValueError(f"at most {LONGEST_URL} characters, none of them a space or outside ASCII")
    return url


def is_public(address: str) -> bool:
    """Whether an IP address is somebody's on the internet, whatever form it is written in."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped or ip in NAT64:
            return is_public(str(IPv4Address(int(ip) & 0xFFFFFFFF)))
        # Also outside are IPv4 in older clothes ("::127.0.0.1") and a site's own translator (64:ff9b:1::/48).
        if ip not in GLOBAL_UNICAST or ip in DOCUMENTATION:
            return False
        tunnelled = ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if tunnelled is not None and not is_public(str(tunnelled)):
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in (PROTOCOLS, OF_THE_CLOUD))


async def resolve(url: str, *, allow_private: bool) -> list[str]:
    """The addresses of the URL's host, all of them public unless others are allowed. Raises UnusableReceiver.

    Look at the moment of the call, and call what was looked at: a name may lead elsewhere the next time.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise UnusableReceiver(f"the name {host} cannot be resolved") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not allow_private and not all(map(is_public, addresses)):
        raise UnusableReceiver(
            f"{host} is inside a private network; QUESTMILL_WEBHOOK_ALLOW_PRIVATE=true on the server allows that"
        )
    return addresses


async def check_receiver(url: str, settings: Settings) -> None:
    """Refuse a job's URL that would never be called. Raises UnusableReceiver."""
    if settings.webhook_secret is None:
        raise UnusableReceiver("the server has no QUESTMILL_WEBHOOK_SECRET, by which notifications are signed")
    await resolve(url, allow_private=settings.webhook_allow_private)
