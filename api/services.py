"""What the routes use, made once per app."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from api.metrics import Metrics
from api.progress_stream import ProgressHub
from api.readiness import ReadinessCheck
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The app's long-lived parts."""

    settings: Settings
    engine: AsyncEngine
    hub: ProgressHub
    readiness: ReadinessCheck
    metrics: Metrics


async def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


Wired = Annotated[Services, Depends(_services)]
