from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest
import redis
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from api.live_shapes import LimitsShape
from local.process import free_port
from shared.ids import JobId
from shared.llm.limiter import RateLimiter, open_limiter_redis
from shared.llm.limits_now import LimitNow, limit_of, read_limits
from shared.llm.provider import RateHeaders
from shared.llm.stop import Stop
from shared.settings import RateLimit
from tests.service.api.serving import api_settings, serving, silent_server
from tests.service.api.waits import answers_within
from tests.service.jobs.world import add_call, execute, held_batch

MODEL = "openai/gpt-6-luna"


async def test_limits_show_what_was_learned_and_used(
    http: httpx2.Client, spec: dict[str, Any], engine: AsyncEngine, redis_url: str
) -> None:
    job_id = JobId(UUID(http.post("/v1/jobs", json=spec).json()["id"]))
    batch = await held_batch(engine, job_id)
    for ordinal in range(3):
        await add_call(engine, batch.hold, ordinal=ordinal)
    await execute(engine, "UPDATE call SET input_tokens = 100, output_tokens = 50 WHERE ordinal < 2")
    await execute(engine, "UPDATE call SET sent_at = sent_at - interval '61 s' WHERE ordinal = 1")
    client = open_limiter_redis(redis_url)
    limiter = RateLimiter(client, {})
    limiter.settle(await limiter.acquire(MODEL, 100, Stop()), tokens=100)
    await limiter.learn(MODEL, RateHeaders(limit_requests=500, limit_tokens=30_000))
    await limiter.pause(MODEL, 40)
    await limiter.close()
    await client.aclose()
    shaped = LimitsShape.model_validate(http.get("/v1/limits").json())
    assert shaped.broker == "ok"
    [limit] = shaped.items
    assert (limit.model, limit.requests_per_minute, limit.tokens_per_minute) == (MODEL, 500, 30_000)
    assert (limit.learned, limit.used_requests, limit.used_tokens) == (True, 2, 150)
    assert limit.paused_until is not None
    assert 20 < (limit.paused_until - datetime.now(limit.paused_until.tzinfo)).total_seconds() <= 40
    assert 20 < limit.wait_seconds <= 40


async def test_looking_changes_nothing(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as plain:
        plain.flushdb()
        client = Redis.from_url(redis_url)
        assert await read_limits(client, {MODEL: RateLimit(requests_per_minute=5)}) == []
        plain.hset("questmill:rate:openai/x", mapping={"epoch": "1", "requests": "5", "tokens": "5"})
        plain.set("celery", "not a limit")
        before = plain.hgetall("questmill:rate:openai/x")
        assert [each.model for each in await read_limits(client, {})] == ["openai/x"]
        assert plain.hgetall("questmill:rate:openai/x") == before
        assert plain.dbsize() == 2
        await client.aclose()


@pytest.mark.parametrize(
    ("learned", "ceiling", "in_force"),
    [(None, None, 120), (None, 50, 50), (500, None, 500), (500, 50, 50), (30, 50, 30), (0, None, None), (0, 50, 50)],
)
def test_the_limit_in_force_is_that_of_the_limiter(
    learned: float | None, ceiling: float | None, in_force: float | None
) -> None:
    row = [None, b"0", None if learned is None else str(learned).encode(), b"0", None]
    limit = limit_of(MODEL, row, RateLimit(requests_per_minute=ceiling), 1e12)
    assert limit.requests_per_minute == in_force
    assert limit.tokens_per_minute == 120_000
    assert limit == LimitNow(MODEL, in_force, 120_000, learned is not None, None, 0.0)


def test_a_call_waits_for_those_that_have_booked_beyond_the_burst() -> None:
    booked = str(1e12 + 6_000 + 2_500).encode()
    limit = limit_of(MODEL, [None, b"0", None, booked, None], RateLimit(), 1e12)
    assert limit.wait_seconds == pytest.approx(2.5)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_broker_that_is_away_is_told_within_a_second(database_url: str, frozen: bool) -> None:
    with (
        silent_server() as silent,
        serving(api_settings(database_url, f"redis://127.0.0.1:{silent if frozen else free_port()}/0")) as url,
        httpx2.Client(base_url=url) as http,
    ):
        for answer in answers_within(1, lambda: http.get("/v1/limits")):
            assert (answer.status_code, answer.json()) == (200, {"broker": "away", "items": []})
