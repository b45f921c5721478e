"""/v1/limits: the rate limits of the models as they stand now."""

import asyncio
from dataclasses import asdict

from fastapi import APIRouter
from redis.exceptions import RedisError
from starlette.responses import Response

from api.access import READ
from api.answers import answer
from api.live_shapes import LimitsShape
from api.problems import declared_problems
from api.services import Wired
from shared.llm.limits_now import Used, read_limits, used_lately

router = APIRouter(prefix="/v1/limits", tags=["limits"])

# However the broker is away, frozen or gone, a page is told so soon.
BROKER_SECONDS = 0.8


@router.get("", dependencies=[READ], responses={200: {"model": LimitsShape}, **declared_problems(403, 503)})
async def show_limits(wired: Wired) -> Response:
    """What each model may take a minute, what it took in the last one, and whether it is paused."""
    try:
        async with asyncio.timeout(BROKER_SECONDS):
            limits = await read_limits(wired.redis, wired.settings.rate_limits)
    except (RedisError, OSError):  # a time-out is an OSError
        return answer({"broker": "away", "items": []})
    async with wired.engine.connect() as conn:
        used = await used_lately(conn)
    items = []
    for limit in limits:
        of_model = used.get(limit.model, Used())
        items.append({**asdict(limit), "used_requests": of_model.requests, "used_tokens": of_model.tokens})
    return answer({"broker": "ok", "items": items})
