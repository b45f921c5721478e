"""/v1/prune: let go of what jobs that ended long ago have left behind."""

from fastapi import APIRouter
from starlette.responses import Response

from api.access import ADMIN
from api.answers import answer
from api.json_body import SpecJson, parse_model
from api.openapi import model_body
from api.problems import declared_problems
from api.schemas import PruneBody, PrunedShape
from api.services import Wired
from shared.jobs.retention import choose_ages, prune

router = APIRouter(prefix="/v1/prune", tags=["retention"])


@router.post(
    "",
    dependencies=[ADMIN],
    responses={200: {"model": PrunedShape}, **declared_problems(403, 413, 422, 503)},
    openapi_extra=model_body(PruneBody),
)
async def prune_ended_jobs(wired: Wired, data: SpecJson) -> Response:
    """Clear old raw replies and archive old jobs, or count what would go. Running and paused jobs are never touched."""
    body = parse_model(PruneBody, data)
    ages = choose_ages(wired.settings, raw_days=body.raw_days, ledger_days=body.ledger_days)
    pruned = await prune(wired.engine, ages, dry_run=body.dry_run)
    return answer(pruned.to_json())
