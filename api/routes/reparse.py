"""/v1/jobs/{id}/reparse: read stored replies again with today's parsers."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access import SUBMIT
from api.answers import answer
from api.json_body import parse_json, parse_model
from api.limits import SPEC_BYTES, read_limited
from api.openapi import model_body
from api.problems import declared_problems
from api.reparse_shapes import ReparseBody, ReparsedShape
from api.routes.jobs import PathJobId
from api.services import WiredForBulk
from shared.jobs.reparse import reparse_job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.post(
    "/{job_id}/reparse",
    dependencies=[SUBMIT],
    responses={200: {"model": ReparsedShape}, **declared_problems(403, 404, 409, 413, 422, 503)},
    openapi_extra=model_body(ReparseBody, required=False),
)
async def reparse(wired: WiredForBulk, job_id: PathJobId, request: Request) -> Response:
    """Take in what an older parser missed, for free; what is there stays as it is. A second time gains nothing."""
    data = await read_limited(request, SPEC_BYTES)
    body = parse_model(ReparseBody, parse_json(data)) if data.strip() else ReparseBody()
    reparsed = await reparse_job(wired.engine, job_id, template_cap=wired.settings.template_cap, dry_run=body.dry_run)
    return answer(reparsed.to_json())
