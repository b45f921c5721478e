"""The endpoints by which tests and people steer bulk submissions, and see what became of them."""

from dataclasses import asdict

import orjson
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from local.rehearsal.bulk import Submission
from local.rehearsal.bulk_serving import DESK, answer


class BulkChange(BaseModel, extra="forbid"):
    """What is left out stays. `seconds` and the shares are for submissions from now on.

    The next `fail_next` submissions fail as a whole; the next `lose_next` are taken, but the connection breaks before
    the answer. `hold` stops the work on all submissions until it is false again. Of OpenAI's models `enqueued_tokens`
    each may be in submissions that are not over; one that would make them more fails. 0: no limit.
    """

    seconds: float | None = Field(default=None, ge=0, le=86_400)
    error_share: float | None = Field(default=None, ge=0, le=1)
    expire_share: float | None = Field(default=None, ge=0, le=1)
    fail_next: int | None = Field(default=None, ge=0)
    lose_next: int | None = Field(default=None, ge=0)
    enqueued_tokens: int | None = Field(default=None, ge=0)
    hold: bool | None = None


def bulk_control_routes() -> list[web.RouteDef]:
    """Both of them, at `/rehearsal/bulk`."""
    return [web.get("/rehearsal/bulk", _show), web.post("/rehearsal/bulk", _change)]


async def _show(request: web.Request) -> web.Response:
    """The settings, and all submissions in the order in which they came."""
    desk = request.app[DESK]
    submissions = [_describe(each) for each in desk.submissions.values()]
    return answer({**asdict(desk.settings), "hold": desk.is_held, "submissions": submissions})


async def _change(request: web.Request) -> web.Response:
    try:
        change = BulkChange.model_validate_json(await request.read())
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        body = orjson.dumps({"error": "; ".join(wrong)})
        return web.Response(status=400, body=body, content_type="application/json")
    desk = request.app[DESK]
    for name, value in change.model_dump(exclude_none=True, exclude={"hold"}).items():
        setattr(desk.settings, name, value)
    if change.hold is not None:
        desk.hold(held=change.hold)
    return answer({**asdict(desk.settings), "hold": desk.is_held})


def _describe(submission: Submission) -> dict[str, object]:
    """`requests` tells of each custom id how it ended, None as long as it has not."""
    ends: dict[str, str | None] = dict.fromkeys(each.custom_id for each in submission.requests)
    ends |= {each.custom_id: each.ended for each in submission.results}
    return {
        "id": submission.id,
        "provider": submission.wire.name,
        "stage": submission.stage,
        "cancel_asked": submission.cancel_asked is not None,
        "created": submission.created,
        "metadata": submission.extras.get("metadata"),
        "requests": ends,
    }
