import math
from collections.abc import AsyncIterator
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.llm.caller import Caller
from shared.settings import Settings
from tests.service.jobs.conftest import broker, dataset, job_id, settings
from tests.service.local.rehearsal_client import Served, serving
from tests.service.workers.bulk_world import BulkWorld, opened
from tests.service.workers.scripted import ScriptedCaller
from workers.admitter import Admitter
from workers.batch import Workshop
from workers.leases import LeaseKeeper
from workers.other_keys import OtherKeys

__all__ = ["broker", "dataset", "job_id", "settings"]


@pytest.fixture
def caller(engine: AsyncEngine) -> ScriptedCaller:
    return ScriptedCaller(engine)


@pytest.fixture
def shop(engine: AsyncEngine, settings: Settings, caller: ScriptedCaller) -> Workshop:
    leases = LeaseKeeper(engine, settings.lease_seconds)
    return Workshop(
        settings=settings,
        engine=engine,
        caller=cast("Caller", caller),
        leases=leases,
        admitter=Admitter(engine, template_cap=settings.template_cap),
        name="a test",
        other_keys=OtherKeys(told_since=-math.inf),
    )


@pytest.fixture(scope="module")
async def shared_server() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture
async def world(engine: AsyncEngine, settings: Settings, shared_server: Served) -> AsyncIterator[BulkWorld]:
    quick = settings.model_copy(update={"bulk_settle_seconds": 0.0, "bulk_poll_seconds": 0.02})
    async with opened(engine, quick, await shared_server.reset()) as found:
        yield found
