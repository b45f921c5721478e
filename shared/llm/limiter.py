"""Rate limits per provider/model, shared by all workers over Redis: requests and tokens at once, in order.

The state is one hash per model, moved by `gcra.lua`; Redis's clock is the only one. An unreachable Redis fails closed:
nothing starts without a booking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.llm.lane import LONGEST_BOOKING_SECONDS, UNCHECKED_SECONDS, Heard, Lane, Message
from shared.llm.provider import RateHeaders
from shared.llm.stop import Stop
from shared.settings import RateLimit

# Until the first reply says more: slow enough for the smallest paid account, fast enough to get that reply.
START_REQUESTS_PER_MINUTE = 120
START_TOKENS_PER_MINUTE = 120_000
BURST_SECONDS = 6.0  # a tenth of a minute's rate may be used at once
IDLE_SECONDS = 600.0  # how long an idle model's state is remembered
REDIS_TIMEOUT_SECONDS = 2.0
KEY_PREFIX = "questmill:rate:"
UNSAID = -1


@dataclass(frozen=True, slots=True)
class Booking:
    """A permission to start one call now. Settle it with what the call really used."""

    model: str
    tokens: int
    epoch: str


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
        self._lanes: dict[str, Lane] = {}
        self.redis_failures = 0

    async def acquire(self, model: str, tokens: int, stop: Stop) -> Booking:
        """Wait for the turn of a call that is estimated at `tokens`; raises Draining if the flag gets set.

        Those who wait in this process for one model are booked in their order of arrival.
        """
        stop.check()
        lane = self._lane(model)
        waiter = lane.join(tokens)
        try:
            await stop.wait_for(waiter.turn)
        except BaseException:
            lane.leave(waiter)
            raise
        return Booking(model, tokens, waiter.epoch)

    def stands(self, booking: Booking) -> bool:
        """Whether nothing that this process has heard has voided the booking since: look before a delayed start."""
        lane = self._lane(booking.model)
        return booking.epoch == lane.epoch and lane.pause_left <= 0

    def settle(self, booking: Booking, *, tokens: int, requests: int = 1) -> None:
        """Correct a booking to what was really used (0 requests: the call was never sent), soon.

        Settlements are added up and told together. One that Redis does not take is dropped: the limit is then a little
        stricter, never looser.
        """
        self._lane(booking.model).settle(booking.epoch, requests=requests - 1, tokens=tokens - booking.tokens)

    async def pause(self, model: str, seconds: float) -> None:
        """Start no call to the model for so long, on any worker: Retry-After, or an overloaded provider."""
        await self._lane(model).pause(seconds)

    async def learn(self, model: str, rate: RateHeaders | None) -> None:
        """Take over the limits that a reply told; `None` if a good reply told none, as local servers do."""
        await self._lane(model).learn(rate or RateHeaders(limit_requests=0, limit_tokens=0))

    async def close(self) -> None:
        """Tell Redis what is still to be settled. Nobody may wait any more; the client is closed after this."""
        for lane in self._lanes.values():
            await lane.close()

    def _lane(self, model: str) -> Lane:
        lane = self._lanes.get(model)
        if lane is None:

            async def talk(message: Message) -> Heard | None:
                return await self._talk(model, message)

            lane = self._lanes[model] = Lane(talk, self._rng)
        return lane

    async def _talk(self, model: str, message: Message) -> Heard | None:
        """Run the script; None when Redis did not answer in time or refused."""
        ceiling = self._ceilings.get(model) or RateLimit()
        learned = message.learned
        told = {
            "ttl_ms": _ms(IDLE_SECONDS),
            "burst_ms": _ms(BURST_SECONDS),
            "requests": {
                "start": START_REQUESTS_PER_MINUTE,
                "ceiling": ceiling.requests_per_minute or 0,
                "settled": message.requests,
                "limit": _said(learned.limit_requests),
                "left": _said(learned.remaining_requests),
            },
            "tokens": {
                "start": START_TOKENS_PER_MINUTE,
                "ceiling": ceiling.tokens_per_minute or 0,
                "settled": message.tokens,
                "limit": _said(learned.limit_tokens),
                "left": _said(learned.remaining_tokens),
            },
            "epoch": message.epoch,
            "pause_ms": _ms(message.pause_seconds),
            "asked": message.asked,
            "sure": message.sure,
            "soon_ms": _ms(UNCHECKED_SECONDS),
            "longest_ms": _ms(LONGEST_BOOKING_SECONDS),
        }
        try:
            reply = await self._run(keys=[f"{KEY_PREFIX}{model}"], args=[orjson.dumps(told)])
        except (RedisError, OSError):
            self.redis_failures += 1
            return None
        epoch, refused_ms, *waits_ms = cast("tuple[bytes, int, *tuple[int, ...]]", reply)
        return Heard(epoch.decode(), [wait / 1000 for wait in waits_ms], refused_ms / 1000 if refused_ms >= 0 else None)


def _said(value: int | None) -> int:
    return UNSAID if value is None else value


def _ms(seconds: float) -> int:
    return int(seconds * 1000 + 0.999)
