"""Benchmarks that a dataset must not hold: load one, see what it flags, clear a false alarm, take it off."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import READ, SUBMIT
from api.answers import DatasetName, PathQuestionId, PlainText, answer
from api.contamination_shapes import ContaminatedPage, ContaminatedShape, DecontaminatedShape
from api.limits import read_upload
from api.pages import NumberPage
from api.problems import declared_problems
from api.services import Wired, WiredForBulk
from shared.corpus.contaminated import browse_contaminated, clear_question, flag_again
from shared.corpus.decontaminate import decontaminate, remove_benchmark
from shared.ids import QuestionId
from shared.jobs.spec_fields import DATASET_NAME_SHAPE, check_dataset_name

router = APIRouter(prefix="/v1", tags=["contamination"])

_UPLOAD_BODY = {
    "requestBody": {
        "content": {"application/x-ndjson": {}, "text/plain": {}, "application/gzip": {}},
        "required": True,
    }
}
BenchmarkName = Annotated[str, AfterValidator(check_dataset_name), Field(json_schema_extra=DATASET_NAME_SHAPE)]
PathBenchmark = Annotated[
    str,
    Path(description="the name under which it was loaded", json_schema_extra=DATASET_NAME_SHAPE),
    AfterValidator(check_dataset_name),
]


class DecontaminateQuery(BaseModel):
    """Which benchmark the file is."""

    model_config = ConfigDict(extra="forbid")

    benchmark: BenchmarkName = Field(description="1 to 64 of a-z, 0-9, '.', '_', '-'; what had this name is replaced")
    source: PlainText | None = Field(default=None, max_length=200, description="where the file came from; only shown")
    discard: bool = Field(default=False, description="also take out what is flagged, as by hand")


class ContaminationQuery(NumberPage):
    """Which of the flagged questions."""

    benchmark: BenchmarkName | None = Field(default=None, description="only those that this benchmark flags")
    cleared: bool = Field(default=False, description="those that a person cleared instead")


@router.post(
    "/datasets/{name}/decontaminate",
    dependencies=[SUBMIT],
    responses={200: {"model": DecontaminatedShape}, **declared_problems(400, 403, 409, 413, 422, 503)},
    openapi_extra=_UPLOAD_BODY,
)
async def load_and_compare(
    wired: WiredForBulk, name: DatasetName, query: Annotated[DecontaminateQuery, Query()], request: Request
) -> Response:
    """Compare all questions with a benchmark (JSONL or a question a line, plain or gzip), and refuse such ones from
    now on. Only hashes of the benchmark are stored.
    """
    report = await decontaminate(
        wired.engine, name, query.benchmark, read_upload(request), source=query.source, discard=query.discard
    )
    return answer(report)


@router.get(
    "/datasets/{name}/contamination",
    dependencies=[READ],
    responses={200: {"model": ContaminatedPage}, **declared_problems(403, 404, 422, 503)},
)
async def show_contaminated(wired: Wired, name: DatasetName, query: Annotated[ContaminationQuery, Query()]) -> Response:
    """The flagged questions, each with the items that it is like."""
    rows = await browse_contaminated(
        wired.engine,
        name,
        benchmark=query.benchmark,
        cleared=query.cleared,
        after=query.after(),
        limit=query.limit_and_one,
    )
    return answer(query.page(rows))


@router.delete(
    "/datasets/{name}/benchmarks/{benchmark}",
    dependencies=[SUBMIT],
    status_code=204,
    responses=declared_problems(403, 404, 409, 422, 503),
)
async def take_off(wired: WiredForBulk, name: DatasetName, benchmark: PathBenchmark) -> Response:
    """Take a benchmark off a dataset, with its flags; what was discarded or refused stays so."""
    await remove_benchmark(wired.engine, name, benchmark)
    return Response(status_code=204)


@router.post(
    "/questions/{question_id}/clear",
    dependencies=[SUBMIT],
    responses={200: {"model": ContaminatedShape}, **declared_problems(403, 404, 409, 422, 503)},
)
async def clear(wired: Wired, question_id: PathQuestionId) -> Response:
    """Say that a flag is a false alarm: the question is exported again, and the same benchmarks flag it no more."""
    return answer(await clear_question(wired.engine, QuestionId(question_id)))


@router.post(
    "/questions/{question_id}/flag",
    dependencies=[SUBMIT],
    responses={200: {"model": ContaminatedShape}, **declared_problems(403, 404, 409, 422, 503)},
)
async def flag(wired: Wired, question_id: PathQuestionId) -> Response:
    """Take a clearance back."""
    return answer(await flag_again(wired.engine, QuestionId(question_id)))
