"""The lock that makes one process the keeper of bulk submissions: a session's, gone with its connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg

from shared.database.engine import KEEP_ALIVE, libpq_url

# The numbers name the purpose; 734601 to 734604 are taken.
TRY_LOCK = "SELECT pg_try_advisory_lock(734605, 0)"
# A keeper that has stalled is silent, and the server ends its session: another one may keep.
SILENT_SECONDS = 15.0


class LockLost(Exception):
    """The connection that holds the lock is gone, so another process may be the keeper now."""


class KeeperLock:
    """The lock as long as its connection lives."""

    def __init__(self, connection: psycopg.AsyncConnection[object]) -> None:
        self._connection = connection

    async def confirm(self) -> None:
        """Be sure that it is still held, as of the moment when the server answers. Raises LockLost."""
        try:
            await self._connection.execute("SELECT 1")
        except (psycopg.Error, OSError) as error:
            raise LockLost(str(error)) from error

    async def beat(self) -> None:
        """Keep the session from being taken for dead, until cancelled or lost."""
        with suppress(LockLost):
            while True:
                await asyncio.sleep(SILENT_SECONDS / 5)
                await self.confirm()


@asynccontextmanager
async def keeper_lock(database_url: str) -> AsyncIterator[KeeperLock | None]:
    """The lock for the time of the block; None when another process has it. Raises psycopg.OperationalError."""
    connection = await psycopg.AsyncConnection.connect(
        libpq_url(database_url),
        autocommit=True,
        application_name="questmill-bulk-keeper",
        connect_timeout=5,
        options=f"-c idle_session_timeout={SILENT_SECONDS:g}s",
        **KEEP_ALIVE,
    )
    async with connection:
        row = await (await connection.execute(TRY_LOCK)).fetchone()
        if row is None or not row[0]:
            yield None
            return
        lock = KeeperLock(connection)
        beating = asyncio.create_task(lock.beat())
        try:
            yield lock
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
