"""Rate limits per provider/model, shared by all workers over Redis: requests and tokens at once, in order.

The state is one hash per model, moved by `gcra.lua`; Redis's clock is the only one. An unreachable Redis fails closed:
nothing starts without a booking.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.llm.concurrency import Turnstile
from shared.llm.provider import RateHeaders
from shared.llm.stop import Stop
from shared.settings import RateLimit

# Until the first reply says more: slow enough for the smallest paid account, fast enough to get that reply.
START_REQUESTS_PER_MINUTE = 120
START_TOKENS_PER_MINUTE = 120_000
BURST_SECONDS = 6.0  # a tenth of a minute's rate may be used at once
IDLE_SECONDS = 600.0  # how long an idle model's state is remembered
LONGEST_BOOKING_SECONDS = 60.0  # a longer wait is asked for again instead
CHECK_SECONDS = 1.0  # a sleeper looks this often whether its booking still stands
UNCHECKED_SECONDS = 0.02  # a shorter sleep is not worth a look
REDIS_TIMEOUT_SECONDS = 2.0
# Waiters of one process and model that ask Redis at the same time. One would hold a busy loop to a call per round trip;
# all of them would come as a herd after a pause, and book far ahead at a rate that may soon be known better.
ASKERS = 8
UNSAID = -1


@dataclass(frozen=True, slots=True)
class Booking:
    """A permission to start one call now. Settle it with what the call really used."""

    model: str
    tokens: int
    epoch: bytes


@dataclass(frozen=True, slots=True)
class _Answer:
    wait_seconds: float
    booked: bool
    epoch: bytes


def open_limiter_redis(redis_url: str) -> Redis:
    """A client whose every command ends within seconds, so that a frozen Redis is noticed; close it with `aclose`."""
    return Redis.from_url(
        redis_url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )


class RateLimiter:
    """Books calls. `rate_limits` are the user's ceilings by "provider/model"; what they leave out is learned."""

    def __init__(self, redis: Redis, rate_limits: Mapping[str, RateLimit], *, rng: Random | None = None) -> None:
        self._run = redis.register_script(Path(__file__).with_name("gcra.lua").read_text())
        self._ceilings = rate_limits
        self._rng = rng or Random()
        self._lanes: dict[str, Turnstile] = {}
        self._paused_until: dict[str, float] = {}
        self._unshared_pauses: set[str] = set()
        self._learned: dict[str, tuple[bytes, RateHeaders]] = {}
        self._epochs: dict[str, bytes] = {}
        self.redis_failures = 0

    async def acquire(self, model: str, tokens: int, stop: Stop) -> Booking:
        """Wait for the turn of a call that is estimated at `tokens`; raises Draining if the flag gets set.

        Few waiters of this process and model ask Redis at a time, in their order of arrival.
        """
        lane = self._lanes.setdefault(model, Turnstile(ASKERS))
        await lane.enter(stop)
        try:
            return await self._book(model, tokens, stop)
        finally:
            lane.leave()

    def stands(self, booking: Booking) -> bool:
        """Whether nothing that this process has seen has voided the booking since: look before a delayed start."""
        return booking.epoch == self._epochs.get(booking.model) and self._pause_left(booking.model) <= 0

    async def settle(self, booking: Booking, *, tokens: int, requests: int = 1) -> None:
        """Correct a booking to what was really used (0 requests: the call was never sent).

        A settlement that Redis does not take is dropped: the limit is then a little stricter, never looser.
        """
        more = (requests - 1, tokens - booking.tokens)
        if any(more):
            await self._ask(booking.model, "settle", amounts=more, last=booking.epoch)

    async def pause(self, model: str, seconds: float) -> None:
        """Start no call to the model for so long, on any worker: Retry-After, or an overloaded provider."""
        until = asyncio.get_running_loop().time() + seconds
        self._paused_until[model] = max(until, self._paused_until.get(model, 0.0))
        await self._share_pause(model)

    async def learn(self, model: str, rate: RateHeaders | None) -> None:
        """Take over the limits that a reply told; `None` if a good reply told none, as local servers do."""
        told = rate or RateHeaders(limit_requests=0, limit_tokens=0)
        if not self._is_news(model, told):
            return
        answer = await self._ask(
            model,
            "learn",
            amounts=(_said(told.limit_requests), _said(told.limit_tokens)),
            extras=(_said(told.remaining_requests), _said(told.remaining_tokens)),
        )
        if answer is not None:
            self._learned[model] = (answer.epoch, told)

    def _is_news(self, model: str, told: RateHeaders) -> bool:
        """Whether Redis should hear of it: other limits, a lost state, or so little left that it caps the burst."""
        epoch, known = self._learned.get(model, (b"", RateHeaders()))
        if epoch != self._epochs.get(model):
            return True
        if (told.limit_requests, told.limit_tokens) != (known.limit_requests, known.limit_tokens):
            return True
        return _runs_low(told.remaining_requests, told.limit_requests) or _runs_low(
            told.remaining_tokens, told.limit_tokens
        )

    async def _book(self, model: str, tokens: int, stop: Stop) -> Booking:
        while True:
            stop.check()
            pause = self._pause_left(model)
            if pause > 0:
                if model in self._unshared_pauses:
                    await self._share_pause(model)
                await stop.sleep(min(pause, CHECK_SECONDS))
                continue
            answer = await self._ask(model, "acquire", amounts=(1, tokens), last=_ms(LONGEST_BOOKING_SECONDS))
            if answer is None:  # fails closed
                await stop.sleep(CHECK_SECONDS * self._rng.uniform(0.2, 1.0))
            elif not answer.booked:
                beyond = answer.wait_seconds - LONGEST_BOOKING_SECONDS
                await stop.sleep(min(max(beyond, CHECK_SECONDS), 5 * CHECK_SECONDS) * self._rng.uniform(0.5, 1.0))
            elif await self._sleep_out(model, answer, stop) and self._pause_left(model) <= 0:
                return Booking(model, tokens, answer.epoch)

    async def _sleep_out(self, model: str, answer: _Answer, stop: Stop) -> bool:
        """Sleep until the booked time. False when the booking was voided meanwhile, by a pause or a lost state."""
        if answer.wait_seconds < UNCHECKED_SECONDS:
            if answer.wait_seconds > 0:
                await stop.sleep(answer.wait_seconds)
            return True
        loop = asyncio.get_running_loop()
        due = loop.time() + answer.wait_seconds
        while True:
            await stop.sleep(min(max(due - loop.time(), 0.0), CHECK_SECONDS))
            now = await self._ask(model, "check")
            if now is None or now.epoch != answer.epoch:
                return False
            if loop.time() >= due:
                return True

    async def _share_pause(self, model: str) -> None:
        """Tell all workers of the pause that this one knows of; kept here too, for a Redis that forgets."""
        answer = await self._ask(model, "pause", last=_ms(self._pause_left(model)))
        if answer is None:
            self._unshared_pauses.add(model)
        else:
            self._unshared_pauses.discard(model)

    def _pause_left(self, model: str) -> float:
        return max(0.0, self._paused_until.get(model, 0.0) - asyncio.get_running_loop().time())

    async def _ask(
        self,
        model: str,
        mode: str,
        *,
        amounts: tuple[int, int] = (0, 0),
        extras: tuple[int, int] = (0, 0),
        last: int | bytes = 0,
    ) -> _Answer | None:
        """Run the script; None when Redis did not answer in time or refused."""
        ceiling = self._ceilings.get(model) or RateLimit()
        arguments: list[str | int | float | bytes] = [mode, _ms(IDLE_SECONDS), _ms(BURST_SECONDS)]
        arguments += [START_REQUESTS_PER_MINUTE, ceiling.requests_per_minute or 0, amounts[0], extras[0]]
        arguments += [START_TOKENS_PER_MINUTE, ceiling.tokens_per_minute or 0, amounts[1], extras[1], last]
        try:
            reply = await self._run(keys=[f"questmill:rate:{model}"], args=arguments)
        except (RedisError, OSError):
            self.redis_failures += 1
            return None
        wait_ms, booked, epoch = cast("tuple[int, int, bytes]", reply)
        self._epochs[model] = epoch
        return _Answer(wait_ms / 1000, booked == 1, epoch)


def _said(value: int | None) -> int:
    return UNSAID if value is None else value


def _runs_low(remaining: int | None, limit: int | None) -> bool:
    """Less is left than one burst."""
    return bool(limit) and remaining is not None and remaining < (limit or 0) * BURST_SECONDS / 60


def _ms(seconds: float) -> int:
    return int(seconds * 1000 + 0.999)
