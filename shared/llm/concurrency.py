"""How many calls may be in flight: turns in order of arrival, and a cap that adapts to the provider."""

import asyncio
from collections import deque

from shared.llm.stop import Stop

DECREASE = 0.75


class Turnstile:
    """Lets `capacity` in at a time, first come, first served; waiting ends at once when the waiter's flag is set."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.inside = 0
        self._queue: deque[asyncio.Future[bool]] = deque()

    async def enter(self, stop: Stop) -> None:
        """Come in, each time followed by `leave`. Raises Draining instead when the flag is or gets set."""
        stop.check()
        if self.inside < self.capacity and not self._queue:
            self.inside += 1
            return
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await stop.wait_for(turn)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.result():  # cancelled just after the turn was given
                self.leave()
            else:
                turn.cancel()
            raise

    def leave(self) -> None:
        """Give the place to the next."""
        self.inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.inside < self.capacity:
            turn = self._queue.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(True)


class AdaptiveConcurrency(Turnstile):
    """A cap on calls in flight: x 0.75 on the first throttled call of a cascade, + 1 per window of successes.

    A cascade is all throttled calls that were sent before the cap last fell: they tell nothing new. It is told by
    when a call was sent, not by a clock, so that waiting out a Retry-After cannot stretch it.
    """

    def __init__(self, maximum: int) -> None:
        super().__init__(maximum)
        self._maximum = maximum
        self._successes = 0
        self.decreases = 0

    def on_success(self) -> None:
        """Count a success; a window is as many successes as the cap lets in at once."""
        self._successes += 1
        if self._successes >= self.capacity:
            self._successes = 0
            self.capacity = min(self._maximum, self.capacity + 1)
            self._admit()

    def on_throttled(self, decreases_when_sent: int) -> None:
        """Lower the cap, unless the call was sent before it last fell. `decreases` at sending time tells that."""
        if decreases_when_sent == self.decreases:
            self.capacity = max(1, int(self.capacity * DECREASE))
            self.decreases += 1
            self._successes = 0
