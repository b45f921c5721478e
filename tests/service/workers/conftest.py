import math
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.llm.caller import Caller
from shared.settings import Settings
from tests.service.jobs.conftest import broker, dataset, job_id, settings
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
