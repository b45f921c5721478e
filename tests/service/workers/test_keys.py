"""Workers without the key or the price of a job's model: others go on with it, or the job waits for a person."""

import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.jobs.control import resume_job
from shared.jobs.models import TOLD_SECONDS, configured_providers, publish_providers
from shared.llm.anthropic import AnthropicProvider
from shared.llm.caller import Caller
from shared.llm.limiter import open_limiter_redis
from shared.llm.openai import OpenAIProvider
from shared.llm.provider import Provider
from shared.llm.stop import Stop
from shared.settings import Price, Settings
from tests.service.jobs.world import LIMITS, Broker, batches_of, fetch, first_batch, make_spec, submit, tick
from tests.service.workers.other_workers import others_have
from workers.batch import Ending, Workshop, run_batch

NOWHERE = "http://127.0.0.1:9"
NO_KEY = "this worker has no key for openai, which openai/gpt-6-luna needs"


class NewShop(Protocol):
    """A worker that has keys for these providers."""

    def __call__(self, *names: str, **changes: object) -> Workshop: ...


@pytest.fixture
async def new_shop(engine: AsyncEngine, shop: Workshop, redis_url: str) -> AsyncIterator[NewShop]:
    """With the real caller, and clients of providers that are never asked."""
    redis: Redis = open_limiter_redis(redis_url)
    providers: Mapping[str, Provider] = {
        "openai": OpenAIProvider("sk", f"{NOWHERE}/v1"),
        "anthropic": AnthropicProvider("sk", NOWHERE),
    }
    callers: list[Caller] = []

    def make(*names: str, **changes: object) -> Workshop:
        settings = shop.settings.model_copy(update=changes)
        callers.append(Caller(settings, engine, redis, {name: providers[name] for name in names}))
        return replace(shop, settings=settings, caller=callers[-1], name=f"a worker with {names}")

    yield make
    for caller in callers:
        await caller.close()
    for provider in providers.values():
        await provider.close()
    await redis.aclose()


async def job_of(engine: AsyncEngine, job_id: JobId) -> tuple[Any, ...]:
    [job] = await fetch(engine, "SELECT state, reason FROM job WHERE id = :id", id=job_id)
    return job


@pytest.mark.parametrize("names", [(), ("anthropic",)])
async def test_a_job_whose_key_nobody_has_is_paused_with_its_name_and_goes_on_once_it_is_there(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, new_shop: NewShop, names: tuple[str, ...]
) -> None:
    await others_have(engine, "anthropic")
    batch_id = await first_batch(engine, job_id)
    assert await run_batch(new_shop(*names), batch_id, Stop()) is Ending.RELEASED
    assert await job_of(engine, job_id) == ("paused", NO_KEY)
    row = (await batches_of(engine, job_id))[0]
    assert (row.state, row.attempts) == ("pending", 0)
    await resume_job(engine, job_id)
    assert await run_batch(shop, batch_id, Stop()) is Ending.DONE


async def test_a_job_whose_model_has_no_price_here_is_paused_with_the_setting(
    engine: AsyncEngine, settings: Settings, new_shop: NewShop, dataset: str
) -> None:
    priced = settings.model_copy(update={"prices": {"openai/mine": Price.model_validate({"input": 1, "output": 1})}})
    job_id = await submit(engine, priced, make_spec(dataset, models={"generate": {"easy": "openai/mine"}}))
    assert await run_batch(new_shop("openai"), await first_batch(engine, job_id), Stop()) is Ending.RELEASED
    state, reason = await job_of(engine, job_id)
    assert state == "paused"
    assert "QUESTMILL_PRICES" in reason
    assert (await batches_of(engine, job_id))[0].attempts == 0


async def test_what_another_worker_has_the_key_for_is_left_to_it_however_often_it_comes(
    engine: AsyncEngine, job_id: JobId, shop: Workshop, new_shop: NewShop
) -> None:
    await others_have(engine, "openai", "anthropic")
    batch_id, keyless = await first_batch(engine, job_id), new_shop("anthropic")
    for _ in range(shop.settings.max_attempts + 1):
        assert await run_batch(keyless, batch_id, Stop()) is Ending.FOR_OTHERS
    assert await job_of(engine, job_id) == ("running", None)
    row = (await batches_of(engine, job_id))[0]
    assert (row.state, row.attempts) == ("pending", 0)
    assert await run_batch(shop, batch_id, Stop()) is Ending.DONE


async def test_a_batch_left_to_others_is_not_hinted_before_an_unclaimed_hint_would_be_repeated(
    engine: AsyncEngine, job_id: JobId, new_shop: NewShop, broker: Broker
) -> None:
    await others_have(engine, "openai", "anthropic")
    await tick(engine, job_id, broker)
    batch_id = broker.take()[0]
    assert await run_batch(new_shop(), batch_id, Stop()) is Ending.FOR_OTHERS
    await tick(engine, job_id, broker)
    assert broker.take() == []
    later = replace(LIMITS, hint_repeat=timedelta(0))
    await tick(engine, job_id, broker, later)
    assert batch_id in broker.take()


async def test_a_worker_without_a_key_calls_no_job_foreign(
    engine: AsyncEngine, job_id: JobId, new_shop: NewShop
) -> None:
    # A worker that was started without a key beside others that rehearse.
    await others_have(engine, "openai", "anthropic")
    batch_id, keyless = await first_batch(engine, job_id), new_shop(rehearsal=False)
    assert await run_batch(keyless, batch_id, Stop()) is Ending.FOR_OTHERS
    assert await job_of(engine, job_id) == ("running", None)
    await others_have(engine)
    assert await run_batch(keyless, batch_id, Stop()) is Ending.RELEASED
    assert await job_of(engine, job_id) == ("paused", NO_KEY)


async def test_after_a_start_or_an_outage_others_are_given_time_to_tell_what_they_have(
    engine: AsyncEngine, job_id: JobId, new_shop: NewShop
) -> None:
    await others_have(engine, "anthropic")
    batch_id, keyless = await first_batch(engine, job_id), new_shop("anthropic")
    keyless.other_keys.told_since = math.inf
    assert await run_batch(keyless, batch_id, Stop()) is Ending.FOR_OTHERS
    keyless.other_keys.note_told(at_once=False)
    assert await run_batch(keyless, batch_id, Stop()) is Ending.FOR_OTHERS
    keyless.other_keys.told_since -= TOLD_SECONDS
    keyless.other_keys.note_told(at_once=True)
    assert await job_of(engine, job_id) == ("running", None)
    assert await run_batch(keyless, batch_id, Stop()) is Ending.RELEASED
    assert await job_of(engine, job_id) == ("paused", NO_KEY)
    keyless.other_keys.note_told(at_once=False)
    await resume_job(engine, job_id)
    assert await run_batch(keyless, batch_id, Stop()) is Ending.FOR_OTHERS


async def test_a_worker_without_a_key_forgets_nothing_that_others_have_told(engine: AsyncEngine) -> None:
    await others_have(engine, "openai", "anthropic")
    async with engine.begin() as conn:
        await publish_providers(conn, [], rehearsal=False)
        known = await configured_providers(conn)
    assert known.names == {"openai", "anthropic"}
    assert known.rehearsal
