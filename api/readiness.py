"""Whether the database and the broker can be used, answered in under a second whatever state they are in."""

import asyncio
import time
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
from shared.database.patience import patience
from shared.database.trouble import Trouble, find_trouble, first_line
from shared.settings import Settings

PROBE_SECONDS = 0.7
REDIS_SECONDS = 0.3
# However often we are asked, the disk is tried twice a second at most.
DISK_SECONDS = 0.5

READ_ONLY = text("SELECT current_setting('transaction_read_only')")
# FAULTS 16: half a megabyte of temporary file on the disk that holds our tables. A table written to would tell the
# same, but needs vacuuming, fills the log, and cannot be written to while the database is read-only.
SPILL_AT_ONCE = text("SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)")
USE_DISK = text("SELECT count(*) FROM generate_series(1, 40000)")

IN_WORDS = {
    Trouble.READ_ONLY: "it is read-only",
    Trouble.DISK_FULL: "its disk is full",
    Trouble.CROWDED: "it takes no more connections",
}


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found, in words: "ok", "degraded: ..." or "away: ..."."""

    ready: bool
    database: str
    broker: str


class _Probe:
    """A check that is never run twice at once and never waited for longer than PROBE_SECONDS."""

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

    def __init__(self, settings: Settings) -> None:
        self._engine: AsyncEngine = open_engine(
            settings.database_url, application="questmill-readyz", pool_size=1, pooled=settings.is_pooled
        )
        self._redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._database = _Probe(self._check_database)
        self._broker = _Probe(self._check_broker)
        self._disk_was_fine_at = -DISK_SECONDS

    async def run(self) -> Readiness:
        """Look at both at once. Only the database decides: nothing is lost while the broker is away."""
        database, broker = await asyncio.gather(self._database.find_fault(), self._broker.find_fault())
        return Readiness(
            ready=database is None,
            database="ok" if database is None else f"away: {database}",
            broker="ok" if broker is None else "degraded",
        )

    async def is_broker_up(self) -> bool:
        """Whether Redis answers, within a second."""
        return await self._broker.find_fault() is None

    async def close(self) -> None:
        """Close both connections."""
        await self._database.close()
        await self._broker.close()
        await self._engine.dispose()
        await self._redis.aclose()

    async def _check_database(self) -> str | None:
        try:
            with patience(PROBE_SECONDS):
                return await self._find_database_fault()
        except (SQLAlchemyError, OSError) as error:
            trouble = find_trouble(error)
            return (trouble and IN_WORDS.get(trouble)) or first_line(error)

    async def _find_database_fault(self) -> str | None:
        async with self._engine.connect() as conn:
            if (await conn.execute(READ_ONLY)).scalar_one() == "on":
                return IN_WORDS[Trouble.READ_ONLY]
            if time.monotonic() - self._disk_was_fine_at >= DISK_SECONDS:
                await conn.execute(SPILL_AT_ONCE)
                await conn.execute(USE_DISK)
                self._disk_was_fine_at = time.monotonic()
        return None

    async def _check_broker(self) -> str | None:
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            return str(error)
        return None
