"""/v1/questions: where one comes from; take it out by hand, or back."""

from fastapi import APIRouter
from starlette.responses import Response

from api.access import READ, SUBMIT
from api.answers import PathQuestionId, answer
from api.problems import declared_problems
from api.question_shapes import ProvenanceShape
from api.schemas import QuestionShape
from api.services import Wired
from shared.corpus.by_hand import discard_question, restore_question
from shared.corpus.provenance import read_provenance
from shared.ids import QuestionId

router = APIRouter(prefix="/v1/questions", tags=["questions"])


@router.get(
    "/{question_id}",
    dependencies=[READ],
    responses={200: {"model": ProvenanceShape}, **declared_problems(403, 404, 422, 503)},
)
async def show(wired: Wired, question_id: PathQuestionId) -> Response:
    """A question with the call that brought it, its raw reply, what judges said, and all answers."""
    return answer(await read_provenance(wired.engine, QuestionId(question_id)))


@router.post(
    "/{question_id}/discard",
    dependencies=[SUBMIT],
    responses={200: {"model": QuestionShape}, **declared_problems(403, 404, 409, 422, 503)},
)
async def discard(wired: Wired, question_id: PathQuestionId) -> Response:
    """Take a question out; its place is filled again, its repeats stay refused."""
    return answer(await discard_question(wired.engine, QuestionId(question_id)))


@router.post(
    "/{question_id}/restore",
    dependencies=[SUBMIT],
    responses={200: {"model": QuestionShape}, **declared_problems(403, 404, 409, 422, 503)},
)
async def restore(wired: Wired, question_id: PathQuestionId) -> Response:
    """Take a question back that was discarded, or that judges rejected: then it counts as accepted."""
    return answer(await restore_question(wired.engine, QuestionId(question_id)))
