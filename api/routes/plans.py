"""POST /v1/plans: what a job would do, without doing it."""

from fastapi import APIRouter
from starlette.responses import Response

from api.access import READ
from api.answers import answer
from api.json_body import SpecJson
from api.openapi import spec_body
from api.problems import declared_problems
from api.schemas import PlannedShape
from api.services import Wired
from shared.jobs.plan import plan_job
from shared.jobs.spec import parse_spec

router = APIRouter(tags=["jobs"])


@router.post(
    "/v1/plans",
    dependencies=[READ],
    responses={200: {"model": PlannedShape}, **declared_problems(403, 413, 422, 503)},
    openapi_extra=spec_body(),
)
async def make_plan(wired: Wired, data: SpecJson) -> Response:
    """Plan and forecast; writes nothing."""
    planned = await plan_job(wired.engine, wired.settings, parse_spec(data))
    return answer(planned.to_json())
