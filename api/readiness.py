"""Whether the database and the broker can be used, answered in under a second whatever state they are in."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.engine import open_engine

PROBE_SECONDS = 0.7
REDIS_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found, in words: "ok", "degraded: ..." or "away: ..."."""

    ready: bool
    database: str
    broker: str


class _Probe:
    """A check that is never run twice at once and never waited for longer than PROBE_SECONDS.

    Cancelling a query on a frozen Postgres takes psycopg seconds, so a late check is left to end by itself.
    """

    def __init__(self, check: Callable[[], Awaitable[str | None]]) -> None:
        self._check = check
        self._running: asyncio.Task[str | None] | None = None

    async def find_fault(self) -> str | None:
        """What is wrong, or None."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        await asyncio.wait({self._running}, timeout=PROBE_SECONDS)
        return self._running.result() if self._running.done() else f"no answer within {PROBE_SECONDS} s"

    async def _run(self) -> str | None:
        return await self._check()

    async def close(self) -> None:
        """Stop a check that still waits."""
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.wait({self._running}, timeout=PROBE_SECONDS)


class ReadinessCheck:
    """The checks behind /readyz, on connections of their own: a busy pool is not an absent database."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._engine: AsyncEngine = open_engine(database_url, application="questmill-readyz", pool_size=1)
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._database = _Probe(self._check_database)
        self._broker = _Probe(self._check_broker)

    async def run(self) -> Readiness:
        """Look at both at once. Only the database decides: nothing is lost while the broker is away."""
        database, broker = await asyncio.gather(self._database.find_fault(), self._broker.find_fault())
        return Readiness(
            ready=database is None,
            database="ok" if database is None else f"away: {database}",
            broker="ok" if broker is None else "degraded",
        )

    async def close(self) -> None:
        """Close both connections."""
        await self._database.close()
        await self._broker.close()
        await self._engine.dispose()
        await self._redis.aclose()

    async def _check_database(self) -> str | None:
        try:
            return await self._find_database_fault()
        except (SQLAlchemyError, OSError):
            # The connection may have been kept from before a restart of Postgres: a new one tells the truth.
            await self._engine.dispose()
        try:
            return await self._find_database_fault()
        except (SQLAlchemyError, OSError) as error:
            return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]

    async def _find_database_fault(self) -> str | None:
        async with self._engine.connect() as conn:
            read_only = await conn.execute(text("SELECT current_setting('transaction_read_only')"))
            return "it is read-only" if read_only.scalar_one() == "on" else None

    async def _check_broker(self) -> str | None:
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            return str(error)
        return None
