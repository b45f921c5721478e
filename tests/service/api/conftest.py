from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.jobs.models import publish_providers
from tests.service.api.serving import api_settings, serving

_numbers = count(1)


@pytest.fixture(scope="module")
async def providers(engine: AsyncEngine) -> None:
    """Workers with keys for both providers have been seen."""
    async with engine.begin() as conn:
        await publish_providers(conn, ["openai", "anthropic"], rehearsal=True)


@pytest.fixture(scope="module")
def api_url(database_url: str, redis_url: str, providers: None) -> Iterator[str]:
    """The API on this module's database."""
    with serving(api_settings(database_url, redis_url)) as url:
        yield url


@pytest.fixture
def http(api_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=api_url, timeout=20, verify=False) as client:  # plain HTTP: no certificates to load
        yield client


@pytest.fixture
def spec() -> dict[str, Any]:
    """A small job for a dataset of its own."""
    return {
        "dataset": f"set-{next(_numbers)}",
        "mix": {
            "domains": {"math": 60, "reading": 40},
            "difficulties": {
                "easy": {"token_share": 0.6, "mean_tokens": 15},
                "hard": {"token_share": 0.4, "mean_tokens": 50},
            },
        },
    }
