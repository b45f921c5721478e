"""/v1/prompts: what the models are asked with, now and by earlier jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import READ
from api.answers import PlainText, answer
from api.problems import declared_problems
from api.prompt_shapes import PromptFilesShape, PromptVersionsShape
from api.services import Wired
from shared.ids import JobId
from shared.jobs.prompt_versions import list_job_versions, list_versions, read_version

router = APIRouter(prefix="/v1/prompts", tags=["prompts"])


class PromptQuery(BaseModel):
    """Of which job."""

    model_config = ConfigDict(extra="forbid")

    job: UUID | None = Field(default=None, description="only the versions that this job's calls were made with")


@router.get(
    "", dependencies=[READ], responses={200: {"model": PromptVersionsShape}, **declared_problems(403, 404, 422, 503)}
)
async def browse_prompts(wired: Wired, query: Annotated[PromptQuery, Query()]) -> Response:
    """The present version of every stage, then those used before; or a job's."""
    if query.job is not None:
        return answer({"items": await list_job_versions(wired.engine, JobId(query.job))})
    return answer({"items": await list_versions(wired.engine)})


@router.get(
    "/{version}",
    dependencies=[READ],
    responses={200: {"model": PromptFilesShape}, **declared_problems(403, 404, 422, 503)},
)
async def show_prompts(
    wired: Wired,
    version: Annotated[PlainText, Path(max_length=200, examples=["generate-1-4d85482a"], description="its name")],
) -> Response:
    """One version with the text of its files."""
    return answer(await read_version(wired.engine, version))
