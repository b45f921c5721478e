"""Wait for a database that is away: what a worker holds in memory is kept until it can be written (FAULTS 2)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

log = structlog.get_logger()
T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 3.0


def is_unreachable(error: BaseException) -> bool:
    """Whether the error says "no database now", rather than "the statement is wrong"."""
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError, OSError)):
        return True
    if not isinstance(error, DBAPIError):
        return False
    # FAULTS 16: a database that takes no writes for now.
    return error.connection_invalidated or isinstance(error.orig, ReadOnlySqlTransaction)


async def until_reachable(
    operation: Callable[[], Awaitable[T]], *, what: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> T:
    """Run a transaction until it goes through. It must be safe to repeat: a lost connection at COMMIT leaves the
    outcome unknown (FAULTS 18). A `sleep` that raises ends the attempts.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await operation()
        except Exception as error:
            if not is_unreachable(error):
                raise
            log.warning("database away", what=what, error=str(error).splitlines()[0], retry_in_seconds=pause)
        await sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
