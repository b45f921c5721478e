from itertools import count

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.jobs.models import publish_providers
from shared.settings import Settings
from tests.service.jobs.world import Broker, make_spec, submit

_numbers = count(1)


@pytest.fixture(scope="module")
async def settings(engine: AsyncEngine, database_url: str) -> Settings:
    """Settings of a system whose workers have keys for both providers."""
    async with engine.begin() as conn:
        await publish_providers(conn, ["openai", "anthropic"], rehearsal=True)
    return Settings.model_validate({"database_url": database_url, "rehearsal": True})


@pytest.fixture
def dataset() -> str:
    """The name of a dataset that does not exist yet."""
    return f"set-{next(_numbers)}"


@pytest.fixture
async def job_id(engine: AsyncEngine, settings: Settings, dataset: str) -> JobId:
    """A job of two batches, just submitted."""
    return await submit(engine, settings, make_spec(dataset))


@pytest.fixture
def broker() -> Broker:
    return Broker()
