"""/v1/datasets/{name}/sample: questions drawn at random, for people."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import READ
from api.answers import DatasetName, SeedNumber, WholeNumber, answer
from api.problems import declared_problems
from api.question_shapes import SampleShape
from api.routes.datasets import KindName
from api.services import WiredForBulk
from shared.corpus.samples import draw_sample
from shared.database.states import QuestionState

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

MOST_SAMPLED = 1000


class SampleQuery(BaseModel):
    """How many questions, and of which."""

    model_config = ConfigDict(extra="forbid")

    n: WholeNumber = Field(default=20, ge=1, le=MOST_SAMPLED, description="how many to draw")
    domain: KindName | None = Field(default=None, max_length=200, description="only of this domain")
    difficulty: KindName | None = Field(default=None, max_length=200, description="only of this difficulty")
    state: QuestionState | None = Field(default=None, description="only those in this state")
    seed: SeedNumber | None = Field(default=None, description="the same draws the same; else a new one")


@router.get(
    "/{name}/sample",
    dependencies=[READ],
    responses={200: {"model": SampleShape}, **declared_problems(403, 404, 422, 503)},
)
async def sample(wired: WiredForBulk, name: DatasetName, query: Annotated[SampleQuery, Query()]) -> Response:
    """Questions with their verdicts, answer, cost and provenance, drawn at random."""
    drawn = await draw_sample(
        wired.engine,
        name,
        n=query.n,
        domain=query.domain,
        difficulty=query.difficulty,
        state=query.state,
        seed=query.seed,
    )
    return answer(drawn)
