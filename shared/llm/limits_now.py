"""The rate limits as they stand now, for people to look at. Nothing is booked, learned or created by looking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.llm.limiter import BURST_SECONDS, KEY_PREFIX, START_REQUESTS_PER_MINUTE, START_TOKENS_PER_MINUTE
from shared.settings import RateLimit

FIELDS = ("pause_until", "requests", "requests_limit", "tokens", "tokens_limit")
KEYS_AT_ONCE = 1000
# A call's id is of the moment just before it was sent, by the worker's clock.
SLACK_SECONDS = 30
# Those that are in flight have used requests, and tokens that nobody knows yet. Submissions have limits of their own.
USED = text("""
SELECT model, COUNT(*) AS requests, COALESCE(SUM(input_tokens + output_tokens), 0)::bigint AS tokens
FROM call WHERE id >= :first AND sent_at > clock_timestamp() - interval '60 s' AND submission_id IS NULL GROUP BY 1
""")
NOW = text("SELECT clock_timestamp()")


@dataclass(frozen=True, slots=True)
class LimitNow:
    """One model's limits a minute (None: none). `learned`: a reply has told them, else they are set or a first guess.

    `wait_seconds` is how long a call would wait that asked now, behind those that have booked.
    """

    model: str
    requests_per_minute: float | None
    tokens_per_minute: float | None
    learned: bool
    paused_until: datetime | None
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Used:
    """Requests sent in the last minute, and the tokens of those that have come back."""

    requests: int = 0
    tokens: int = 0


async def read_limits(redis: Redis, ceilings: Mapping[str, RateLimit]) -> list[LimitNow]:
    """Of every model that was lately asked. Raises RedisError."""
    keys = sorted([key async for key in redis.scan_iter(match=f"{KEY_PREFIX}*", count=KEYS_AT_ONCE)])
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for key in keys:
            pipe.hmget(key, FIELDS)
        (seconds, micros), *rows = await pipe.execute()
    models = [key.decode().removeprefix(KEY_PREFIX) for key in keys]
    now_ms = seconds * 1000 + micros / 1000
    # One that has just expired has no fields left.
    return [
        limit_of(model, row, ceilings.get(model) or RateLimit(), now_ms)
        for model, row in zip(models, rows, strict=True)
        if any(row)
    ]


def limit_of(model: str, row: Sequence[bytes | None], ceiling: RateLimit, now_ms: float) -> LimitNow:
    """Read one model's state by the rules of gcra.lua; `row` has FIELDS."""
    pause_until, requests, requests_limit, tokens, tokens_limit = (
        None if each is None else float(each) for each in row
    )
    arrivals = [each for each in (requests, tokens) if each is not None]
    pause_left = max((pause_until or 0.0) - now_ms, 0.0)
    waits = [each - now_ms - BURST_SECONDS * 1000 for each in arrivals]
    return LimitNow(
        model,
        _in_force(requests_limit, ceiling.requests_per_minute, START_REQUESTS_PER_MINUTE),
        _in_force(tokens_limit, ceiling.tokens_per_minute, START_TOKENS_PER_MINUTE),
        learned=requests_limit is not None or tokens_limit is not None,
        paused_until=datetime.fromtimestamp((pause_until or 0) / 1000, UTC) if pause_left else None,
        wait_seconds=round(max(0.0, pause_left, *waits) / 1000, 3),
    )


def _in_force(learned: float | None, ceiling: float | None, start: float) -> float | None:
    """A learned limit counts up to the ceiling; one of 0 says that there is none."""
    limit = learned if learned is not None else 0 if ceiling else start
    if ceiling and (limit == 0 or limit > ceiling):
        return ceiling
    return limit or None


async def used_lately(conn: AsyncConnection) -> dict[str, Used]:
    """By model, of all jobs."""
    now: datetime = (await conn.execute(NOW)).scalar_one()
    first = UUID(int=int((now.timestamp() - 60 - SLACK_SECONDS) * 1000) << 80)
    return {row.model: Used(row.requests, row.tokens) for row in await conn.execute(USED, {"first": first})}
