"""Bulk submissions, from the intent to the answered question: whole jobs against the rehearsal server."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.llm.prices import price_of
from shared.llm.provider import Usage
from shared.settings import Settings
from tests.service.local.rehearsal_client import Served, serving
from tests.service.workers.bulk_world import BulkWorld, opened


@pytest.fixture(scope="module")
async def shared_server() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture
async def world(engine: AsyncEngine, settings: Settings, shared_server: Served) -> AsyncIterator[BulkWorld]:
    quick = settings.model_copy(update={"bulk_settle_seconds": 0.0})
    async with opened(engine, quick, await shared_server.reset()) as found:
        yield found


async def test_a_whole_job_on_both_providers_ends_exact_at_half_price(world: BulkWorld, dataset: str) -> None:
    job_id = await world.submit(dataset)
    job = await world.run_to_end(job_id)
    assert job["state"] == "succeeded", job["reason"]
    progress = job["progress"]
    assert progress["selected"] == progress["validated"] == progress["answered"] == 60
    assert [cell for cell in progress["cells"] if cell["selected"] != cell["target"]] == []
    await world.check(job_id)
    half = Decimal(0)
    for call in await world.calls(job_id):
        assert call["submission_id"]
        if call["input_tokens"] is not None:
            usage = Usage(call["input_tokens"], call["output_tokens"], call["cached_tokens"] or 0)
            price = price_of(call["model"], usage, world.settings.prices)
            assert Decimal(str(call["cost_usd"])) * 2 - price in {Decimal(0), Decimal("1e-12")}
            half += price_of(call["model"], usage, world.settings.prices, bulk=True)
    assert Decimal((await world.money(job_id))["spent_usd"]) == half
    assert {each["state"] for each in await world.submissions(job_id)} == {"ended"}
    assert {each["provider"] for each in await world.submissions(job_id)} == {"openai", "anthropic"}
