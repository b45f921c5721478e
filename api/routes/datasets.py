"""/v1/datasets: import, look, compare, export, delete."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.access import ADMIN, READ, SUBMIT
from api.answers import DatasetName, PlainText, SeedNumber, WholeNumber, answer, started
from api.dataset_shapes import DatasetShape, DatasetsShape
from api.json_body import TextsJson, parse_model
from api.limits import read_upload
from api.live_shapes import DistributionsShape
from api.openapi import REF, model_body
from api.pages import NumberPage
from api.problems import declared_problems
from api.schemas import DuplicateShape, ImportShape, QuestionPage, TextsBody
from api.services import Wired, WiredForBulk
from shared.corpus.baseline import import_baseline
from shared.corpus.browse import Kind, browse_questions
from shared.corpus.datasets import delete_dataset, describe_dataset, find_duplicates, list_datasets
from shared.corpus.distributions import read_distributions
from shared.corpus.export import export_jsonl, export_parquet
from shared.corpus.near_duplicates import report_near_duplicates
from shared.database.states import QuestionState
from shared.errors import FieldError, InvalidInput
from shared.planning.mix import fold_name

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_UPLOAD_BODY = {"requestBody": {"content": {"application/x-ndjson": {}, "application/gzip": {}}, "required": True}}
_NEAR_LINES: dict[str, object] = {"application/x-ndjson": {"schema": {"$ref": REF.format(model="NearLineShape")}}}
_FILE_TYPES: dict[str, object] = {"application/x-ndjson": {}, "application/vnd.apache.parquet": {}}


KindName = Annotated[PlainText, AfterValidator(fold_name)]


class QuestionQuery(NumberPage):
    """Which questions of a dataset."""

    domain: KindName | None = Field(default=None, max_length=200, description="only of this domain")
    difficulty: KindName | None = Field(default=None, max_length=200, description="only of this difficulty")
    state: QuestionState | None = Field(default=None, description="only those in this state")
    selected: bool | None = Field(
        default=None, description="true: only those that count towards a target; false: only the others"
    )
    text: PlainText | None = Field(default=None, max_length=1000, description="a part of the question, in any case")


class KindQuery(BaseModel):
    """Which of a dataset's questions."""

    model_config = ConfigDict(extra="forbid")

    domain: KindName | None = Field(default=None, max_length=200, description="only of this domain")
    difficulty: KindName | None = Field(default=None, max_length=200, description="only of this difficulty")


class ExportQuery(BaseModel):
    """How to export."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["jsonl", "parquet"] = Field(default="jsonl", description="JSON lines, or Apache Parquet")
    seed: SeedNumber | None = Field(default=None, description="for another order than the dataset's own")
    contaminated: Literal["exclude", "include"] = Field(
        default="exclude", description="questions that benchmarks flag; included, a field tells what they are like"
    )
    answers: Literal["first", "all"] = Field(
        default="first", description="all: a field `answers` has those of every model and sample"
    )


class NearDuplicatesQuery(BaseModel):
    """How much of the report to show; it counts everything."""

    model_config = ConfigDict(extra="forbid")

    clusters: WholeNumber = Field(
        default=1000, ge=0, le=1_000_000, description="how many clusters to show, the largest first"
    )


@router.get("", dependencies=[READ], responses={200: {"model": DatasetsShape}, **declared_problems(403, 503)})
async def show_datasets(wired: Wired) -> Response:
    """All datasets."""
    return answer({"items": await list_datasets(wired.engine)})


@router.get(
    "/{name}", dependencies=[READ], responses={200: {"model": DatasetShape}, **declared_problems(403, 404, 422, 503)}
)
async def show_dataset(wired: Wired, name: DatasetName) -> Response:
    """Counts per cell and state, and token totals."""
    return answer(await describe_dataset(wired.engine, name))


@router.delete("/{name}", dependencies=[ADMIN], status_code=204, responses=declared_problems(403, 404, 409, 422, 503))
async def remove_dataset(
    wired: WiredForBulk, name: DatasetName, confirm: Annotated[str, Query(description="the name again")]
) -> Response:
    """Delete a dataset with its questions and jobs; refused while a job is unfinished."""
    if confirm != name:
        raise InvalidInput(
            f"To delete it, repeat its name: ?confirm={name}", [FieldError("confirm", f"must be {name!r}")]
        )
    await delete_dataset(wired.engine, name)
    return Response(status_code=204)


@router.post(
    "/{name}/baseline",
    dependencies=[SUBMIT],
    responses={200: {"model": ImportShape}, **declared_problems(400, 403, 409, 422, 503)},
    openapi_extra=_UPLOAD_BODY,
)
async def upload_baseline(wired: WiredForBulk, name: DatasetName, request: Request) -> Response:
    """Import JSONL, plain or gzip, as it streams in."""
    report = await import_baseline(wired.engine, name, read_upload(request))
    return answer(report.to_json())


@router.get(
    "/{name}/questions",
    dependencies=[READ],
    responses={200: {"model": QuestionPage}, **declared_problems(403, 404, 422, 503)},
)
async def browse(wired: Wired, name: DatasetName, query: Annotated[QuestionQuery, Query()]) -> Response:
    """A dataset's questions. A page may be short although there are more: a search breaks off after some 20,000."""
    kind = Kind(query.domain, query.difficulty, query.state, query.selected)
    found = await browse_questions(
        wired.engine, name, kind, text=query.text, after=query.after(), limit=query.limit_and_one
    )
    return answer(query.page(found.rows, looked_until=found.looked_until))


@router.get(
    "/{name}/distributions",
    dependencies=[READ],
    responses={200: {"model": DistributionsShape}, **declared_problems(403, 404, 422, 503)},
)
async def show_distributions(wired: Wired, name: DatasetName, query: Annotated[KindQuery, Query()]) -> Response:
    """How long the selected questions are, what they are about, and who made them."""
    return answer(await read_distributions(wired.engine, name, domain=query.domain, difficulty=query.difficulty))


@router.post(
    "/{name}/duplicates",
    dependencies=[READ],
    responses={200: {"model": list[DuplicateShape]}, **declared_problems(403, 404, 413, 422, 503)},
    openapi_extra=model_body(TextsBody),
)
async def check_duplicates(wired: WiredForBulk, name: DatasetName, data: TextsJson) -> Response:
    """Would these be admitted? Compared with the dataset and with the texts before them."""
    body = parse_model(TextsBody, data)
    return answer(await find_duplicates(wired.engine, name, body.texts))


@router.get(
    "/{name}/near-duplicates",
    dependencies=[READ],
    response_class=Response,
    responses={200: {"content": _NEAR_LINES}, **declared_problems(403, 404, 422, 503)},
)
async def show_near_duplicates(
    wired: WiredForBulk, name: DatasetName, query: Annotated[NearDuplicatesQuery, Query()]
) -> Response:
    """Clusters of near-duplicates of the whole dataset, as JSON lines: progress, the report, clusters, an end."""
    lines = report_near_duplicates(wired.engine, name, most_clusters=query.clusters)
    return await started(lines, media_type="application/x-ndjson", filename=f"{name}.near-duplicates.jsonl")


@router.get(
    "/{name}/export",
    dependencies=[READ],
    response_class=Response,
    responses={200: {"content": _FILE_TYPES}, **declared_problems(403, 404, 422, 503)},
)
async def export(wired: WiredForBulk, name: DatasetName, query: Annotated[ExportQuery, Query()]) -> Response:
    """The selected questions in shuffled order, as a stream."""
    more = {"contaminated": query.contaminated == "include", "all_answers": query.answers == "all"}
    if query.format == "parquet":
        chunks = export_parquet(wired.engine, name, query.seed, **more)
        return await started(chunks, media_type="application/vnd.apache.parquet", filename=f"{name}.parquet")
    chunks = export_jsonl(wired.engine, name, query.seed, **more)
    return await started(chunks, media_type="application/x-ndjson", filename=f"{name}.jsonl")
