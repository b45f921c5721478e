"""GET /healthz, /readyz and /metrics."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access import OPEN, READ_OR_NOBODY_CAN_TELL
from api.answers import answer
from api.metrics import CONTENT_TYPE
from api.problems import RETRY_AFTER_SECONDS, declared_problems
from api.schemas import HealthShape, ReadyShape
from api.services import Wired

router = APIRouter(tags=["health"])


@router.get("/healthz", dependencies=[OPEN], responses={200: {"model": HealthShape}})
async def healthz() -> Response:
    """Liveness: this process answers."""
    return answer({"status": "alive", "checks": ["process"]})


@router.get("/readyz", dependencies=[OPEN], responses={200: {"model": ReadyShape}, 503: {"model": ReadyShape}})
async def readyz(wired: Wired) -> Response:
    """Readiness in under a second: 503 only when the database is away; a broken broker is `degraded`."""
    found = await wired.readiness.run()
    body = {
        "status": "ready" if found.ready else "unavailable",
        "database": found.database,
        "broker": found.broker,
    }
    if found.ready:
        return answer(body)
    return answer(body, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})


@router.get(
    "/metrics",
    dependencies=[READ_OR_NOBODY_CAN_TELL],
    responses={200: {"content": {"text/plain": {}}}, **declared_problems(403)},
)
async def metrics(wired: Wired, request: Request) -> Response:
    """Prometheus metrics of this process and the whole system.

    While keys cannot be looked up, the database being away, only whether it and the broker are there.
    """
    render = wired.metrics.render_servers if request.state.unrecognised else wired.metrics.render
    return Response(await render(), headers={"Content-Type": CONTENT_TYPE})
