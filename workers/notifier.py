"""Sends notifications to their receivers: signed, without following anybody elsewhere, again until somebody takes them.

A part of the reconciler's process, beside its ticks and never waited for by them.
"""

import asyncio
import hashlib
import hmac
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.reconnect import is_unreachable
from shared.database.trouble import first_line
from shared.jobs.notifications import (
    Notification,
    body_of,
    drop_without_receiver,
    note_delivered,
    note_not_delivered,
    take_due,
)
from shared.jobs.receivers import UnusableReceiver, resolve
from shared.settings import Settings

log = structlog.get_logger()

ID_HEADER = "Questmill-Event-Id"
TIMESTAMP_HEADER = "Questmill-Timestamp"
SIGNATURE_HEADER = "Questmill-Signature"
SEND_SECONDS = 10.0
MOST_AT_ONCE = 8
LONGEST_DETAIL = 300


class NotDelivered(Exception):
    """The receiver could not be called, or did not take it."""


class Notifier:
    """Sends what is due, each `tick_seconds`."""

    def __init__(self, settings: Settings, engine: AsyncEngine) -> None:
        self._settings = settings
        self._engine = engine

    async def run(self) -> None:
        """Until cancelled. Whatever goes wrong here costs notifications time, and the reconciler nothing."""
        while True:
            sent = 0
            try:
                sent = await self.run_once()
            except Exception as error:
                if is_unreachable(error):
                    log.warning("notifications wait", error=first_line(error))
                else:
                    log.exception("notifications not sent")
            if sent < MOST_AT_ONCE:
                await asyncio.sleep(self._settings.tick_seconds)

    async def run_once(self) -> int:
        """Send those that are due, side by side; returns how many were tried."""
        async with self._engine.begin() as conn:
            if self._settings.webhook_url is None:
                await drop_without_receiver(conn)
            due = await take_due(conn, most=MOST_AT_ONCE)
        for error in filter(None, await asyncio.gather(*map(self._send, due), return_exceptions=True)):
            raise error  # the others are sent; this one is tried again when nobody holds it any more
        return len(due)

    async def _send(self, notification: Notification) -> None:
        with structlog.contextvars.bound_contextvars(notification=str(notification.id), job=str(notification.job_id)):
            try:
                detail = await self._post(notification)
            except NotDelivered as error:
                async with self._engine.begin() as conn:
                    given_up = await note_not_delivered(conn, notification, str(error)[:LONGEST_DETAIL])
                tell = log.error if given_up else log.warning
                tell("notification given up" if given_up else "notification not delivered", why=str(error))
            else:
                async with self._engine.begin() as conn:
                    await note_delivered(conn, notification, detail)
                log.info("notification delivered", attempts=notification.attempts)

    async def _post(self, notification: Notification) -> str:
        """What the receiver answered. Raises NotDelivered."""
        secret = self._settings.webhook_secret
        url = notification.url or self._settings.webhook_url
        if secret is None or url is None:
            raise NotDelivered("the server has no QUESTMILL_WEBHOOK_SECRET")
        # Whoever set the server's own receiver owns the network; whoever posted a job may not.
        allow_private = notification.url is None or self._settings.webhook_allow_private
        async with self._engine.begin() as conn:
            body = (await body_of(conn, notification)).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Questmill",
            ID_HEADER: str(notification.id),
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: f"v1={sign(secret.get_secret_value(), timestamp, body)}",
        }
        try:
            addresses = await resolve(url, allow_private=allow_private)
            status = await _request(url, addresses, headers, body)
        except UnusableReceiver as error:
            raise NotDelivered(error.why) from error
        except TimeoutError as error:
            raise NotDelivered(f"no answer within {SEND_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(f"{type(error).__name__}: {first_line(error)}") from error
        if not 200 <= status < 300:
            raise NotDelivered(f"answered {status}{', and is not followed elsewhere' if 300 <= status < 400 else ''}")
        return f"answered {status}"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of the timestamp, a dot and the body, in hex."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


async def _request(url: str, addresses: Sequence[str], headers: dict[str, str], body: bytes) -> int:
    # Neither a proxy nor cookies nor a second look at the name: what was checked is what is called.
    connector = aiohttp.TCPConnector(resolver=_Looked(addresses), use_dns_cache=False, force_close=True)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=SEND_SECONDS),
            trust_env=False,
        ) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status  # its body is nobody's business


class _Looked(AbstractResolver):
    """Answers with the addresses that were looked at."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        """All of them, of both families: what cannot be reached is passed over."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ip_address(address.partition("%")[0]).version == 6 else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""
