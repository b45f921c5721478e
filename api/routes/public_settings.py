"""/v1/settings/public: what pages need to know of the service; no secret is among it."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fastapi import APIRouter
from starlette.responses import Response

from api.access import READ
from api.answers import answer
from api.live_shapes import PublicSettingsShape
from api.problems import declared_problems
from api.services import Wired
from shared import __version__
from shared.jobs.models import ConfiguredProviders, configured_providers

router = APIRouter(prefix="/v1/settings", tags=["settings"])

# The demo's own job, from where the demo reads it.
SEED = Path(__file__).parents[2] / "local" / "demo_job.yaml"


@router.get(
    "/public", dependencies=[READ], responses={200: {"model": PublicSettingsShape}, **declared_problems(403, 503)}
)
async def show_public_settings(wired: Wired) -> Response:
    """The version, whether models are rehearsed, where Flower is, and specs to begin with."""
    async with wired.engine.connect() as conn:
        providers = await configured_providers(conn)
    return answer(
        {
            "version": __version__,
            "rehearsal": providers.rehearsal,
            "providers": sorted(providers.names),
            "flower_url": wired.settings.flower_address,
            "presets": {"seed": fit_to_providers(_seed(), providers)},
        }
    )


def fit_to_providers(spec: dict[str, Any], providers: ConfiguredProviders) -> dict[str, Any]:
    """Without models that no worker can call, and the budget that was meant for them: the service then chooses."""
    named = {model for by_difficulty in spec["models"].values() for model in by_difficulty.values()}
    if not providers.names or {model.partition("/")[0] for model in named} <= providers.names:
        return spec
    return {name: value for name, value in spec.items() if name not in {"models", "budget_usd"}}


@cache
def _seed() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load(SEED.read_text())
    return spec
