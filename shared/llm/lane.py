"""The calls of one process that wait for one model's rate, in order, and what is to be said to Redis about them.

A lane talks to Redis for all of them together: it asks for several bookings at once, and takes along what was settled
and learned meanwhile. While it talks it lets others gather, so that a busy process talks at its pace, not per call.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TypeAlias

from shared.llm.provider import RateHeaders

# Between two talks that book: short beside any call's latency, long enough for the calls of a busy process to gather.
PACE_SECONDS = 0.01
STEP_SECONDS = 0.005  # calls that come due so close to each other start together, never early
SETTLE_SECONDS = 0.05  # what was settled goes with the next talk, or alone after this long
LONGEST_BOOKING_SECONDS = 60.0  # a longer wait is asked for again instead
CHECK_SECONDS = 1.0  # who sleeps learns at least this often whether the booking still stands
UNCHECKED_SECONDS = 0.02  # what was heard of Redis is good for so long
# Calls that may sleep with a booking. One would hold a busy loop to a call per talk; all that wait would come as a herd
# after a pause, and book far ahead at a rate that may soon be known better. Those who would hardly sleep do not count.
SLEEPERS = 8
SAME_PAUSE_SECONDS = 0.25  # pauses of one storm, which end at about the same time, are told once
MOST_ASKED = 64  # of one talk: keeps a run of the script, which stops the server meanwhile, short


@dataclass(eq=False, slots=True)
class Waiter:
    """A call that waits. `turn` becomes True when it may start; `epoch` is set, and `due` in loop time, once booked."""

    tokens: int
    turn: "asyncio.Future[bool]"
    epoch: str = ""
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """What a lane says in one talk: settled since the last (of one epoch), learned, paused, and the tokens asked for.

    Of the calls that ask, `sure` are booked whatever their wait, and more while theirs is below `UNCHECKED_SECONDS`.
    """

    epoch: str
    requests: int
    tokens: int
    learned: RateHeaders
    pause_seconds: float
    asked: Sequence[int]
    sure: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Redis's answer: the wait of each call that was booked, and of the first that would wait too long for it."""

    epoch: str
    waits: Sequence[float]
    refused_wait: float | None


Talk: TypeAlias = Callable[[Message], Awaitable[Heard | None]]


class Lane:
    """One process's waiters for one model. `talk` answers None when Redis does not: then nothing is granted."""

    def __init__(self, talk: Talk, rng: Random) -> None:
        self._talk = talk
        self._rng = rng
        self._clock = asyncio.get_running_loop().time
        self._queue: deque[Waiter] = deque()
        self._booked: list[Waiter] = []
        self._settled: list[int] = [0, 0]
        self._settled_epoch = ""
        self._untold_since: float | None = None
        self._known = ("", RateHeaders())  # limits that Redis has heard, and in which epoch
        self._news: RateHeaders | None = None
        self._paused_until = self._shared_until = float("-inf")
        self._talked_at = self._heard_at = float("-inf")
        self._not_before = float("-inf")  # asking: Redis is away, or the next call would wait too long
        self._timer: asyncio.TimerHandle | None = None
        self._talking: asyncio.Task[None] | None = None
        self.epoch = ""

    @property
    def pause_left(self) -> float:
        """Seconds for which this process knows that nothing may start."""
        return max(0.0, self._paused_until - self._clock())

    def join(self, tokens: int) -> Waiter:
        """Queue up, last; followed by `leave` if the waiter goes before its turn."""
        waiter = Waiter(tokens, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        if len(self._queue) == 1:  # the next talk is on its way otherwise
            self._advance()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Go away without starting: a booking is given back."""
        if waiter in self._booked:
            self._booked.remove(waiter)
        elif not (waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.result()):
            waiter.turn.cancel()  # it is still in the queue, where it is skipped
            return
        self.settle(waiter.epoch, requests=-1, tokens=-waiter.tokens)

    def settle(self, epoch: str, *, requests: int, tokens: int) -> None:
        """Note how far a booking was off; of an older epoch it no longer matters."""
        if epoch != self.epoch or not (requests or tokens):
            return
        if self._settled_epoch != epoch:
            self._settled_epoch, self._settled = epoch, [0, 0]
        self._settled[0] += requests
        self._settled[1] += tokens
        self._note_untold()

    async def pause(self, seconds: float) -> None:
        """Start nothing for so long, and tell all workers; kept here too, for a Redis that forgets."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)
        # One talk tells the longest pause of all that ask meanwhile.
        await self._talk_until(lambda: self._is_pause_shared)

    async def learn(self, told: RateHeaders) -> None:
        """Take over what a reply told of limits: other ones at once, how little is left with the next talk."""
        if self._are_limits_new(told):
            self._news = told
            await self._talk_until(lambda: not self._are_limits_new(told))
        else:
            self._news = told
            self._note_untold()

    async def close(self) -> None:
        """Say what is left to say. Nobody may wait any more."""
        if self._untold_since is not None:
            await self._talk_until(lambda: self._untold_since is None)
        while self._talking is not None:
            await asyncio.wait([self._talking])
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _is_pause_shared(self) -> bool:
        return self._paused_until <= self._shared_until + SAME_PAUSE_SECONDS

    def _are_limits_new(self, told: RateHeaders) -> bool:
        epoch, known = self._known
        same = (told.limit_requests, told.limit_tokens) == (known.limit_requests, known.limit_tokens)
        return epoch != self.epoch or not same

    def _note_untold(self) -> None:
        if self._untold_since is None:
            self._untold_since = self._clock()
            self._advance()

    async def _talk_until(self, is_said: Callable[[], bool]) -> None:
        """Talk, once; after a talk under way, which may not have taken it along."""
        if self._talking is not None:
            await asyncio.wait([self._talking])
        if not is_said():
            await asyncio.wait([self._talking or self._start_talk()])

    def _start_talk(self) -> "asyncio.Task[None]":
        self._talking = asyncio.get_running_loop().create_task(self._say_all())
        self._talking.add_done_callback(self._on_talked)
        return self._talking

    def _on_talked(self, talk: "asyncio.Task[None]") -> None:
        self._talking = None
        if talk.cancelled():  # the loop ends
            return
        if (error := talk.exception()) is not None:
            # Not Redis: a fault of ours, which those who wait shall see rather than wait for ever.
            for waiter in [*self._booked, *self._queue]:
                if not waiter.turn.done():
                    waiter.turn.set_exception(error)
            return
        self._advance()

    async def _say_all(self) -> None:
        now = self._talked_at = self._clock()
        asking = self._find_asking(now)
        requests, tokens = self._settled if self._settled_epoch == self.epoch else (0, 0)
        learned, self._news = self._news, None
        self._settled, self._untold_since = [0, 0], None
        message = Message(
            epoch=self.epoch,
            requests=requests,
            tokens=tokens,
            learned=learned or RateHeaders(),
            pause_seconds=0.0 if self._is_pause_shared else self.pause_left,
            asked=[waiter.tokens for waiter in asking],
            sure=SLEEPERS - len(self._booked),
        )
        paused_until = self._paused_until
        heard = await self._talk(message)
        now = self._clock()
        if heard is None:
            # What was settled is lost, never repeated: had it been heard after all, it would count twice.
            self._not_before = now + CHECK_SECONDS * self._rng.uniform(0.2, 1.0)
            self._book_again(self._booked)
            return
        self._heard_at, self.epoch = now, heard.epoch
        self._shared_until = max(self._shared_until, paused_until)
        if learned is not None:
            self._known = (heard.epoch, learned)
        self._book_again([waiter for waiter in self._booked if waiter.epoch != heard.epoch])
        for waiter, wait in zip(asking, heard.waits, strict=False):
            self._book(waiter, heard.epoch, now + wait)
        if heard.refused_wait is not None:
            beyond = heard.refused_wait - LONGEST_BOOKING_SECONDS
            pause = min(max(beyond, CHECK_SECONDS), 5 * CHECK_SECONDS)
            self._not_before = now + pause * self._rng.uniform(0.5, 1.0)
        self._grant_due(now)

    def _find_asking(self, now: float) -> list[Waiter]:
        """The first of the queue, if they may ask now."""
        while self._queue and self._queue[0].turn.done():
            self._queue.popleft()
        if len(self._booked) >= SLEEPERS or now < max(self._not_before, self._paused_until):
            return []
        return [waiter for waiter in islice(self._queue, MOST_ASKED) if not waiter.turn.done()]

    def _book(self, waiter: Waiter, epoch: str, due: float) -> None:
        # Redis counts waits up in the order of asking; an answer that was heard late must not put one behind the next.
        waiter.epoch, waiter.due = epoch, max([due, *(each.due for each in self._booked[-1:])])
        self._queue.remove(waiter)  # it is one of the first
        if waiter.turn.done():  # it left while we talked
            self.settle(epoch, requests=-1, tokens=-waiter.tokens)
        else:
            self._booked.append(waiter)

    def _book_again(self, void: Sequence[Waiter]) -> None:
        """These bookings no longer stand: back to the head of the queue, in their order."""
        if void:
            self._booked = [waiter for waiter in self._booked if waiter not in void]
            self._queue.extendleft(reversed(void))

    def _advance(self) -> None:
        """Let start who is due, talk if it is time to, and come back when there is more to do."""
        now = self._clock()
        again = max(self._grant_due(now), now + STEP_SECONDS)
        if self._talking is None:
            talk_at = self._next_talk(now)
            if talk_at <= now:
                self._start_talk()
            else:
                again = min(again, talk_at)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again < float("inf"):
            self._timer = asyncio.get_running_loop().call_at(again, self._advance)

    def _grant_due(self, now: float) -> float:
        """Grant what is due, as long as what was heard last is fresh; returns when the next is due."""
        is_fresh = now - self._heard_at <= UNCHECKED_SECONDS
        later: list[Waiter] = []
        next_due = float("inf")
        for waiter in self._booked:
            due = max(waiter.due, self._paused_until)
            if due > now:
                next_due = min(next_due, due)
                later.append(waiter)
            elif is_fresh and not waiter.turn.done():
                waiter.turn.set_result(True)
            else:
                later.append(waiter)
        self._booked = later
        return next_due

    def _next_talk(self, now: float) -> float:
        """When there is a reason to talk; infinity when there is none."""
        at = float("inf")
        if self._untold_since is not None:
            at = self._untold_since + SETTLE_SECONDS
        if self._booked:
            at = min(at, self._heard_at + CHECK_SECONDS)
            for waiter in self._booked:
                due = max(waiter.due, self._paused_until)
                if due <= now or due - self._heard_at > UNCHECKED_SECONDS:
                    at = min(at, due - UNCHECKED_SECONDS / 2)
        if self._queue and len(self._booked) < SLEEPERS:
            ask_at = max(self._talked_at + PACE_SECONDS, self._not_before, self._paused_until)
            if not self._is_pause_shared:
                ask_at = min(ask_at, max(self._talked_at + CHECK_SECONDS, self._not_before))
            at = min(at, ask_at)
        return at
