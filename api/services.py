"""What the routes use, made once per app."""

from dataclasses import dataclass
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
    """The app's long-lived parts."""

    settings: Settings
    engine: AsyncEngine
    hub: ProgressHub
    redis: Redis
    readiness: ReadinessCheck
    metrics: Metrics


async def _all_services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


async def _services(services: Annotated[Services, Depends(_all_services)]) -> Services:
    be_patient(ORDINARY_PATIENCE_SECONDS)
    return services


Wired = Annotated[Services, Depends(_services)]
# For what handles a whole dataset at once: a statement may take as long as the database lets it.
WiredForBulk = Annotated[Services, Depends(_all_services)]
