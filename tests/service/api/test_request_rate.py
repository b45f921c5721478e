import asyncio
import secrets
import time

from redis.asyncio import Redis

from api.request_rate import ANSWER_SECONDS, RequestRate
from shared.ids import KeyId
from tests.service.api.serving import silent_server


async def test_a_standstill_of_this_process_is_not_taken_for_silence_of_redis(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        rate, key_id = RequestRate(redis), KeyId(secrets.randbelow(2**31))
        assert await rate.seconds_to_wait(key_id, 1) == 0
        await redis.client_pause(100)
        asked = asyncio.create_task(rate.seconds_to_wait(key_id, 1))
        await asyncio.sleep(0.01)  # it is sent
        time.sleep(ANSWER_SECONDS + 0.1)  # noqa: ASYNC251 - the whole loop stands still
        assert 0 < await asked <= 60


async def test_while_redis_is_silent_everybody_passes_and_only_the_first_waits() -> None:
    with silent_server() as port:
        async with Redis(port=port) as redis:
            rate, key_id = RequestRate(redis), KeyId(secrets.randbelow(2**31))
            assert await rate.seconds_to_wait(key_id, 0) == 0
            began = time.monotonic()
            assert await rate.seconds_to_wait(key_id, 0) == 0
            assert time.monotonic() - began < ANSWER_SECONDS
