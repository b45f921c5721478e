"""Anthropic's message batches."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

from local.rehearsal.anthropic_wire import AnthropicWire
from local.rehearsal.bulk import BulkDesk, BulkRequest, BulkResult, Ended, Submission
from local.rehearsal.bulk_serving import (
    NotFound,
    answer,
    created,
    guarded,
    lines,
    place_of,
    read_page_size,
)
from local.rehearsal.wire import BadRequest, read_object

PATH = "/v1/messages/batches"
WINDOW = timedelta(hours=24)
MOST_REQUESTS = 100_000
LONGEST_CUSTOM_ID = 64


class AnthropicBulk:
    """`/v1/messages/batches`."""

    def __init__(self, desk: BulkDesk) -> None:
        self._desk = desk
        self._wire = AnthropicWire()

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        table = [
            ("POST", PATH, self._create),
            ("GET", PATH, self._list),
            ("GET", f"{PATH}/{{id}}", self._show),
            ("GET", f"{PATH}/{{id}}/results", self._send_results),
            ("POST", f"{PATH}/{{id}}/cancel", self._cancel),
        ]
        return [web.route(method, path, guarded(self._wire, handler)) for method, path, handler in table]

    async def _create(self, request: web.Request) -> web.Response:
        requests = read_requests(read_object(await request.read()))
        if self._desk.settings.fail_next > 0:
            self._desk.settings.fail_next -= 1
            raise BadRequest("The rehearsal server was told to fail this submission.")
        return created(request, show(self._desk.submit("msgbatch", self._wire, requests), request))

    async def _list(self, request: web.Request) -> web.Response:
        size = read_page_size(request, default=20, most=1000)
        submissions = self._desk.of(self._wire)
        start, stop = 0, len(submissions)
        if (after := request.query.get("after_id")) is not None:
            start = place_of(submissions, after, lambda each: each.id) + 1
        if (before := request.query.get("before_id")) is not None:
            stop = place_of(submissions, before, lambda each: each.id)
            page = submissions[max(start, stop - size) : stop]
            has_more = stop - size > start
        else:
            page = submissions[start : start + size]
            has_more = start + size < stop
        data = [show(submission, request) for submission in page]
        first, last = (page[0].id, page[-1].id) if page else (None, None)
        return answer({"data": data, "has_more": has_more, "first_id": first, "last_id": last})

    async def _show(self, request: web.Request) -> web.Response:
        return answer(show(self._submission(request), request))

    async def _send_results(self, request: web.Request) -> web.Response:
        submission = self._submission(request)
        if not submission.is_over:
            raise NotFound("This batch has no results yet.")
        body = lines([{"custom_id": each.custom_id, "result": _result(each)} for each in submission.results])
        return web.Response(body=body, content_type="application/x-jsonl")

    async def _cancel(self, request: web.Request) -> web.Response:
        submission = self._submission(request)
        if submission.is_over:
            raise BadRequest("This batch has ended and cannot be canceled.")
        self._desk.cancel(submission)
        return answer(show(submission, request))

    def _submission(self, request: web.Request) -> Submission:
        submission = self._desk.submissions.get(request.match_info["id"])
        if submission is None or submission.wire is not self._wire:
            raise NotFound(f"No message batch has the id {request.match_info['id']}.")
        return submission


def read_requests(body: dict[str, Any]) -> list[BulkRequest]:
    """The requests of a submission; raises BadRequest."""
    rows = body.get("requests")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_REQUESTS:
        raise BadRequest(f"requests: a list of 1 to {MOST_REQUESTS} is required")
    requests: dict[str, BulkRequest] = {}
    for place, row in enumerate(rows):
        custom_id = row.get("custom_id") if isinstance(row, dict) else None
        if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= LONGEST_CUSTOM_ID or custom_id in requests:
            raise BadRequest(f"requests.{place}.custom_id: a text of its own, up to 64 characters, is required")
        if not isinstance(row.get("params"), dict):
            raise BadRequest(f"requests.{place}.params: Field required")
        requests[custom_id] = BulkRequest(custom_id, row["params"])
    return list(requests.values())


def show(submission: Submission, request: web.Request) -> dict[str, object]:
    """An object `message_batch`."""
    over, total = submission.is_over, len(submission.requests)
    began = datetime.fromtimestamp(submission.created, UTC)
    ends = {kind.value: submission.count(kind) if over else 0 for kind in Ended}
    working = "canceling" if submission.cancel_asked is not None else "in_progress"
    return {
        "id": submission.id,
        "type": "message_batch",
        "processing_status": "ended" if over else working,
        # All of them count as processing until the whole has ended.
        "request_counts": {"processing": 0 if over else total, **ends},
        "created_at": began.isoformat(),
        "expires_at": (began + WINDOW).isoformat(),
        "ended_at": _time(submission.ended),
        "cancel_initiated_at": _time(submission.cancel_asked),
        "archived_at": None,
        "results_url": str(request.url.origin().with_path(f"{PATH}/{submission.id}/results")) if over else None,
    }


def _time(at: float | None) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat() if at is not None else None


def _result(result: BulkResult) -> dict[str, object]:
    match result.ended:
        case Ended.SUCCEEDED:
            return {"type": "succeeded", "message": orjson.Fragment(result.body)}
        case Ended.ERRORED:
            return {"type": "errored", "error": orjson.Fragment(result.body)}
        case _:
            return {"type": result.ended}
