"""How long to wait for the database's answer. Its own time limits mean nothing while it is frozen (FAULTS 2)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout  # what `AsyncConnection.wait` documents to raise
from sqlalchemy import text
from sqlalchemy.ext import asyncio as sqlalchemy

from shared.database.trouble import DatabaseSilent

T = TypeVar("T")

# A little longer than the server's own limit for a statement: whoever can still answer, does.
LONGER_SECONDS = 10.0
LONGEST_SECONDS = 60.0 + LONGER_SECONDS
LIMIT = text("SELECT set_config('statement_timeout', :milliseconds, true)")

_patience_seconds: ContextVar[float] = ContextVar("patience_seconds", default=LONGEST_SECONDS)


def be_patient(seconds: float) -> None:
    """From here on in this task, wait so long for a connection or an answer, then raise DatabaseSilent."""
    _patience_seconds.set(seconds)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """The same for a block."""
    token = _patience_seconds.set(seconds)
    try:
        yield
    finally:
        _patience_seconds.reset(token)


@asynccontextmanager
async def time_limit(conn: sqlalchemy.AsyncConnection, seconds: float) -> AsyncIterator[None]:
    """Let each statement of the block, and of what is left of its transaction, take so long at the server."""
    with patience(seconds + LONGER_SECONDS):
        await conn.execute(LIMIT, {"milliseconds": str(round(seconds * 1000))})
        yield


class PatientConnection(AsyncConnection[Any]):
    """A connection that gives the server up when an answer takes longer than the task's patience."""

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109 - the driver's signature
        """Run one exchange with the server. A silent one is not asked to cancel: it would not hear that either."""
        seconds = _patience_seconds.get() if timeout is None else timeout
        try:
            return await super().wait(gen, interval, seconds)
        except _WaitTimeout:
            self.pgconn.finish()
            raise DatabaseSilent(f"no answer from the database within {seconds:g} s") from None


async def connect_patiently(conninfo: str = "", **options: Any) -> PatientConnection:
    """Connect within the task's patience (or, sooner, within the connect_timeout of the options)."""
    seconds = _patience_seconds.get()
    try:
        async with asyncio.timeout(seconds):
            return await PatientConnection.connect(conninfo, **options)
    except TimeoutError:
        raise DatabaseSilent(f"no connection to the database within {seconds:g} s") from None
