"""/v1/jobs: submit, look, steer, watch."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from api.access import READ, SUBMIT, AskedBy, Guard
from api.agreement_shapes import AgreementShape
from api.answers import PlainText, WholeNumber, answer, read_job_id
from api.job_shapes import BudgetBody, JobPage, JobShape, ResumeBody
from api.json_body import SpecJson, canonical_hash, parse_json, parse_model
from api.limits import SPEC_BYTES, read_limited
from api.live_shapes import LiveShape, RejectionPage, SeriesShape
from api.notification_shapes import NotificationsShape
from api.novelty_shapes import NoveltyShape, TopicsShape
from api.openapi import model_body, spec_body
from api.pages import IdPage, NumberPage
from api.problems import declared_problems
from api.progress_stream import has_seen_end
from api.services import Wired, WiredForBulk
from api.work_shapes import BatchPage, CallPage, SubmissionPage
from shared.database.states import BatchState, CallState, SubmissionState
from shared.ids import JobId
from shared.jobs.agreement import read_agreement
from shared.jobs.control import cancel_job, change_budget, pause_job, resume_job
from shared.jobs.live import read_live
from shared.jobs.notifications import list_notifications
from shared.jobs.novelty import read_novelty, read_topics
from shared.jobs.progress import list_batches, list_calls, list_jobs, list_submissions, read_job
from shared.jobs.rejections import list_rejections
from shared.jobs.series import read_series
from shared.jobs.spec import parse_spec
from shared.jobs.submit import submit_job
from shared.jobs.summaries import list_summaries

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

PathJobId = Annotated[JobId, Depends(read_job_id)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="any text of your own; sent again with the same body, it finds the first job and starts none",
    ),
]


class JobQuery(IdPage):
    """A page of jobs."""

    summary: bool = Field(default=False, description="each with how far it is")


class BatchQuery(IdPage):
    """A page of batches, of one state if given."""

    state: BatchState | None = Field(default=None, description="only those in this state")


class CallQuery(IdPage):
    """A page of calls, of one state if given."""

    state: CallState | None = Field(default=None, description="only those in this state")


class VerdictsQuery(BaseModel):
    """How to count."""

    model_config = ConfigDict(extra="forbid")

    by: Literal["job", "cell"] = Field(default="job", description="cell: also for each cell")


class SubmissionQuery(IdPage):
    """A page of bulk submissions, of one state if given."""

    state: SubmissionState | None = Field(default=None, description="only those in this state")


class SeriesQuery(BaseModel):
    """How finely."""

    model_config = ConfigDict(extra="forbid")

    points: WholeNumber = Field(default=120, ge=1, le=500, description="so many steps at most")


class RejectionQuery(NumberPage):
    """A page of refused candidates, of one reason if given."""

    reason: PlainText | None = Field(default=None, max_length=200, description="only those refused for this reason")


class TopicQuery(BaseModel):
    """Which cell."""

    model_config = ConfigDict(extra="forbid")

    domain: PlainText = Field(max_length=200, description="the domain of its cell")
    difficulty: PlainText = Field(max_length=200, description="the difficulty of its cell")


@router.post(
    "",
    dependencies=[SUBMIT],
    status_code=202,
    responses={
        202: {"model": JobShape, "description": "accepted; Location names the job"},
        200: {"model": JobShape, "description": "this key was used before: the first job"},
        **declared_problems(403, 409, 413, 422, 503),
    },
    openapi_extra=spec_body(),
)
async def submit(wired: Wired, asked_by: AskedBy, data: SpecJson, idempotency_key: IdempotencyKey = None) -> Response:
    """Start a job. The same Idempotency-Key with the same body answers the first job again."""
    spec = parse_spec(data)
    job_id, created = await submit_job(
        wired.engine,
        wired.settings,
        spec,
        idempotency_key=idempotency_key,
        request_hash=canonical_hash(data),
        key_id=asked_by,
    )
    job = await read_job(wired.engine, job_id)
    return answer(job, 202 if created else 200, {"Location": f"/v1/jobs/{job_id}"})


@router.get("", dependencies=[READ], responses={200: {"model": JobPage}, **declared_problems(403, 422, 503)})
async def browse_jobs(wired: Wired, query: Annotated[JobQuery, Query()]) -> Response:
    """All jobs, newest first."""
    read = list_summaries if query.summary else list_jobs
    return answer(query.page(await read(wired.engine, before=query.after(), limit=query.limit_and_one)))


@router.get("/{job_id}", dependencies=[READ], responses={200: {"model": JobShape}, **declared_problems(403, 404, 503)})
async def show_job(wired: Wired, job_id: PathJobId) -> Response:
    """One job with its plan and progress."""
    return answer(await read_job(wired.engine, job_id))


@router.get(
    "/{job_id}/batches",
    dependencies=[READ],
    responses={200: {"model": BatchPage}, **declared_problems(403, 404, 422, 503)},
)
async def browse_batches(wired: Wired, job_id: PathJobId, query: Annotated[BatchQuery, Query()]) -> Response:
    """A job's batches."""
    rows = await list_batches(wired.engine, job_id, state=query.state, after=query.after(), limit=query.limit_and_one)
    return answer(query.page(rows))


@router.get(
    "/{job_id}/calls",
    dependencies=[READ],
    responses={200: {"model": CallPage}, **declared_problems(403, 404, 422, 503)},
)
async def browse_calls(wired: Wired, job_id: PathJobId, query: Annotated[CallQuery, Query()]) -> Response:
    """A job's calls, as the ledger has them."""
    rows = await list_calls(wired.engine, job_id, state=query.state, after=query.after(), limit=query.limit_and_one)
    return answer(query.page(rows))


@router.get(
    "/{job_id}/submissions",
    dependencies=[READ],
    responses={200: {"model": SubmissionPage}, **declared_problems(403, 404, 422, 503)},
)
async def browse_submissions(wired: Wired, job_id: PathJobId, query: Annotated[SubmissionQuery, Query()]) -> Response:
    """A job's bulk submissions."""
    rows = await list_submissions(
        wired.engine, job_id, state=query.state, after=query.after(), limit=query.limit_and_one
    )
    return answer(query.page(rows))


@router.get(
    "/{job_id}/series",
    dependencies=[READ],
    responses={200: {"model": SeriesShape}, **declared_problems(403, 404, 422, 503)},
)
async def show_series(wired: Wired, job_id: PathJobId, query: Annotated[SeriesQuery, Query()]) -> Response:
    """Throughput, latency and spending over the job's time."""
    return answer(await read_series(wired.engine, job_id, points=query.points))


@router.get(
    "/{job_id}/live", dependencies=[READ], responses={200: {"model": LiveShape}, **declared_problems(403, 404, 503)}
)
async def show_live(wired: Wired, job_id: PathJobId) -> Response:
    """The batches that are worked on now, each with its place in Flower, and the last questions."""
    return answer(await read_live(wired.engine, job_id, flower_address=wired.settings.flower_address))


@router.get(
    "/{job_id}/rejections",
    dependencies=[READ],
    responses={200: {"model": RejectionPage}, **declared_problems(403, 404, 422, 503)},
)
async def browse_rejections(wired: Wired, job_id: PathJobId, query: Annotated[RejectionQuery, Query()]) -> Response:
    """The candidates that were refused, each with the question that it repeats."""
    rows = await list_rejections(
        wired.engine, job_id, reason=query.reason, before=query.after(), limit=query.limit_and_one
    )
    return answer(query.page(rows))


@router.get(
    "/{job_id}/notifications",
    dependencies=[READ],
    responses={200: {"model": NotificationsShape}, **declared_problems(403, 404, 503)},
)
async def show_notifications(wired: Wired, job_id: PathJobId) -> Response:
    """Whom the job's ends and pauses were told, and what is still to be told; the newest hundred."""
    return answer({"items": await list_notifications(wired.engine, job_id)})


@router.get(
    "/{job_id}/novelty",
    dependencies=[READ],
    responses={200: {"model": NoveltyShape}, **declared_problems(403, 404, 503)},
)
async def show_novelty(wired: Wired, job_id: PathJobId) -> Response:
    """How each cell still finds new questions: its yield, its topics by state, and how many questions may be left."""
    return answer(await read_novelty(wired.engine, job_id))


@router.get(
    "/{job_id}/topics",
    dependencies=[READ],
    responses={200: {"model": TopicsShape}, **declared_problems(403, 404, 422, 503)},
)
async def browse_topics(wired: Wired, job_id: PathJobId, query: Annotated[TopicQuery, Query()]) -> Response:
    """The topics of one cell, those that yield least first."""
    topics = await read_topics(wired.engine, job_id, domain=query.domain, difficulty=query.difficulty)
    return answer({"items": topics})


@router.get(
    "/{job_id}/verdicts",
    dependencies=[READ],
    responses={200: {"model": AgreementShape}, **declared_problems(403, 404, 422, 503)},
)
async def show_verdicts(wired: WiredForBulk, job_id: PathJobId, query: Annotated[VerdictsQuery, Query()]) -> Response:
    """What the judges accepted and rejected, for which criteria, and how far they agree."""
    return answer(await read_agreement(wired.engine, job_id, by_cell=query.by == "cell"))


@router.post(
    "/{job_id}/pause",
    dependencies=[SUBMIT],
    responses={200: {"model": JobShape}, **declared_problems(403, 404, 409, 503)},
)
async def pause(wired: Wired, job_id: PathJobId) -> Response:
    """Start nothing new; what is in flight is kept."""
    await pause_job(wired.engine, job_id)
    return answer(await read_job(wired.engine, job_id))


@router.post(
    "/{job_id}/resume",
    dependencies=[SUBMIT],
    responses={200: {"model": JobShape}, **declared_problems(403, 404, 409, 413, 422, 503)},
    openapi_extra=model_body(ResumeBody, required=False),
)
async def resume(wired: Wired, asked_by: AskedBy, job_id: PathJobId, request: Request) -> Response:
    """Go on, with a new budget if the body names one."""
    body = await read_limited(request, SPEC_BYTES)
    change = parse_model(ResumeBody, parse_json(body)) if body.strip() else ResumeBody()
    await resume_job(wired.engine, job_id, change.budget_usd, key_id=asked_by)
    return answer(await read_job(wired.engine, job_id))


@router.post(
    "/{job_id}/budget",
    dependencies=[SUBMIT],
    responses={200: {"model": JobShape}, **declared_problems(403, 404, 409, 413, 422, 503)},
    openapi_extra=model_body(BudgetBody),
)
async def set_budget(wired: Wired, asked_by: AskedBy, job_id: PathJobId, request: Request) -> Response:
    """Another budget for a running or paused job, which stays what it is."""
    change = parse_model(BudgetBody, parse_json(await read_limited(request, SPEC_BYTES)))
    await change_budget(wired.engine, job_id, change.budget_usd, key_id=asked_by)
    return answer(await read_job(wired.engine, job_id))


@router.post(
    "/{job_id}/cancel",
    dependencies=[SUBMIT],
    responses={200: {"model": JobShape}, **declared_problems(403, 404, 409, 503)},
)
async def cancel(wired: Wired, job_id: PathJobId) -> Response:
    """End the job; what was admitted stays."""
    await cancel_job(wired.engine, job_id)
    return answer(await read_job(wired.engine, job_id))


@router.get(
    "/{job_id}/events",
    dependencies=[READ],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "`progress` events, then `end`"},
        204: {"description": "the job has ended and this client has seen its `end`"},
        **declared_problems(403, 404, 503),
    },
)
async def watch(
    wired: Wired,
    request: Request,
    job_id: PathJobId,
    last_event_id: Annotated[
        str | None,
        Header(max_length=200, description="the id of the last event that was received, as a browser sends it"),
    ] = None,
) -> Response:
    """`progress` events while the job is unfinished, then `end`."""
    ended = await wired.hub.has_ended(job_id)
    if ended and last_event_id is not None and has_seen_end(last_event_id):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    guard: Guard = request.app.state.guard
    return EventSourceResponse(guard.while_admitted(request, wired.hub.stream(job_id)), headers=headers)
