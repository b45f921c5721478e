"""/v1/questions: take one out by hand, or back."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from api.answers import answer
from api.problems import declared_problems
from api.schemas import QuestionShape
from api.services import Wired
from shared.corpus.datasets import discard_question, restore_question
from shared.ids import QuestionId

router = APIRouter(prefix="/v1/questions", tags=["questions"])

PathQuestionId = Annotated[int, Path(ge=1, lt=2**63)]


@router.post(
    "/{question_id}/discard", responses={200: {"model": QuestionShape}, **declared_problems(403, 404, 409, 422, 503)}
)
async def discard(wired: Wired, question_id: PathQuestionId) -> Response:
    """Take a question out; its place is filled again, its repeats stay refused."""
    return answer(await discard_question(wired.engine, QuestionId(question_id)))


@router.post(
    "/{question_id}/restore", responses={200: {"model": QuestionShape}, **declared_problems(403, 404, 409, 422, 503)}
)
async def restore(wired: Wired, question_id: PathQuestionId) -> Response:
    """Take a discarded question back."""
    return answer(await restore_question(wired.engine, QuestionId(question_id)))
