"""A flag that stops new work and wakes everybody who waits for a turn."""

import asyncio


class Draining(Exception):
    """New calls are no longer started here; nothing was sent."""


class Stop:
    """Set once, by a drain or a lost lease; not thread-safe: set it with `loop.call_soon_threadsafe`."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: set[asyncio.Future[bool]] = set()

    @property
    def is_set(self) -> bool:
        """Whether no new call may start."""
        return self._is_set

    def set(self) -> None:
        """Stop; whoever waits under this flag is woken at once."""
        self._is_set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(False)

    def check(self) -> None:
        """Raises Draining once the flag is set."""
        if self._is_set:
            raise Draining

    async def wait_for(self, turn: asyncio.Future[bool]) -> None:
        """Wait until `turn` is given, raises Draining if the flag is set before."""
        self.check()
        self._waiters.add(turn)
        try:
            given = await turn
        finally:
            self._waiters.discard(turn)
        if not given:
            raise Draining

    async def sleep(self, seconds: float) -> None:
        """Sleep, raises Draining as soon as the flag is set."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _give, turn)
        try:
            await self.wait_for(turn)
        finally:
            timer.cancel()


def _give(turn: "asyncio.Future[bool]") -> None:
    if not turn.done():
        turn.set_result(True)
