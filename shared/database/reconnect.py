"""Wait for a database that is away: what a worker holds in memory is kept until it can be written (FAULTS 2)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.trouble import find_trouble, first_line

log = structlog.get_logger()
T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 3.0


def is_unreachable(error: BaseException) -> bool:
    """Whether the same transaction may succeed later: "not now", rather than "the statement is wrong"."""
    return find_trouble(error) is not None


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
            trouble = find_trouble(error)
            if trouble is None:
                raise
            log.warning(trouble.value, what=what, error=first_line(error), retry_in_seconds=pause)
        await sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]], *, what: str) -> T:
    """One transaction of `work`, repeated until it goes through."""

    async def once() -> T:
        async with engine.begin() as conn:
            return await work(conn)

    return await until_reachable(once, what=what)
