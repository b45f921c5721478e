"""What the routes use, made once per app."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from api.metrics import Metrics
from api.progress_stream import ProgressHub
from api.readiness import ReadinessCheck
from shared.database.patience import be_patient
from shared.settings import Settings

# No statement of an ordinary request takes near as long: a database that is this late is frozen. FAULTS 2.
ORDINARY_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Services:
    """The app's long-lived parts. `bulk_engine` is the `engine` of `WiredForBulk`."""

    settings: Settings
    engine: AsyncEngine
    bulk_engine: AsyncEngine
    hub: ProgressHub
    redis: Redis
    readiness: ReadinessCheck
    metrics: Metrics


def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


async def _services_for_ordinary(request: Request) -> Services:
    be_patient(ORDINARY_PATIENCE_SECONDS)
    return _services(request)


async def _services_for_bulk(request: Request) -> Services:
    services = _services(request)
    return replace(services, engine=services.bulk_engine)


Wired = Annotated[Services, Depends(_services_for_ordinary)]
# For what handles a whole dataset at once: a statement may take as long as the database lets it, and who reads slowly
# keeps a connection. Those are others: ten such readers keep nobody from signing in.
WiredForBulk = Annotated[Services, Depends(_services_for_bulk)]
