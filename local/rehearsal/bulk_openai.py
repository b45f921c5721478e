"""OpenAI's files and batches, as far as bulk submissions of chat completions need them."""

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import BodyPartReader, web

from local.rehearsal.bulk import BulkDesk, BulkRequest, BulkResult, Ended, Problem, Stage, Submission
from local.rehearsal.bulk_serving import (
    NotFound,
    answer,
    created,
    guarded,
    lines,
    place_of,
    read_page_size,
)
from local.rehearsal.openai_wire import OpenAIWire
from local.rehearsal.wire import BadRequest, read_object

ENDPOINT = "/v1/chat/completions"
WINDOW_SECONDS = 24 * 3600
MOST_REQUESTS = 50_000
_NEVER_RUN = {
    Ended.EXPIRED: ("batch_expired", "This request could not be executed before the completion window expired."),
    Ended.CANCELED: ("batch_cancelled", "This request was not executed because the batch was cancelled."),
}
_FAILS = Problem("invalid_input_file", "The rehearsal server was told to fail this submission.")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file handed in or made here; `created` is a Unix time."""

    filename: str
    purpose: str
    content: bytes
    id: str = field(default_factory=lambda: f"file-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def shown(self) -> dict[str, object]:
        """An object `file`."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "expires_at": None,
            "status_details": None,
        }


class OpenAIBulk:
    """`/v1/files` and `/v1/batches`."""

    def __init__(self, desk: BulkDesk) -> None:
        self._desk = desk
        self._wire = OpenAIWire()
        self._files: dict[str, StoredFile] = {}

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        table = [
            ("POST", "/v1/files", self._upload),
            ("GET", "/v1/files", self._list_files),
            ("GET", "/v1/files/{id}", self._show_file),
            ("GET", "/v1/files/{id}/content", self._send_file),
            ("DELETE", "/v1/files/{id}", self._delete_file),
            ("POST", "/v1/batches", self._create),
            ("GET", "/v1/batches", self._list),
            ("GET", "/v1/batches/{id}", self._show),
            ("POST", "/v1/batches/{id}/cancel", self._cancel),
        ]
        return [web.route(method, path, guarded(self._wire, handler)) for method, path, handler in table]

    async def _upload(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            raise BadRequest("a file is uploaded as multipart/form-data")
        purpose, filename, content = "", "", None
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "file":
                filename, content = part.filename or "upload", bytes(await part.read())
            elif isinstance(part, BodyPartReader) and part.name == "purpose":
                purpose = await part.text()
        if content is None or purpose != "batch":
            raise BadRequest("file and purpose are required; the rehearsal server knows the purpose batch only")
        file = StoredFile(filename, purpose, content)
        self._files[file.id] = file
        return answer(file.shown())

    async def _list_files(self, request: web.Request) -> web.Response:
        files = list(reversed(self._files.values()))
        return answer(_page(request, [file.shown() for file in files], most=10_000, default=10_000))

    async def _show_file(self, request: web.Request) -> web.Response:
        return answer(self._file(request).shown())

    async def _send_file(self, request: web.Request) -> web.Response:
        return web.Response(body=self._file(request).content, content_type="application/octet-stream")

    async def _delete_file(self, request: web.Request) -> web.Response:
        file = self._files.pop(self._file(request).id)
        return answer({"id": file.id, "object": "file", "deleted": True})

    async def _create(self, request: web.Request) -> web.Response:
        body = read_object(await request.read())
        file = self._files.get(str(body.get("input_file_id")))
        if file is None or file.purpose != "batch":
            raise BadRequest("input_file_id: the id of a file with the purpose batch is required")
        if body.get("endpoint") != ENDPOINT:
            raise BadRequest(f"endpoint: the rehearsal server knows {ENDPOINT} only")
        if body.get("completion_window") != "24h":
            raise BadRequest("completion_window: 24h is required")
        requests, problems = read_input(file.content)
        if self._desk.settings.fail_next > 0:
            self._desk.settings.fail_next -= 1
            problems = [_FAILS]
        problems = problems or self._crowded(requests)
        metadata = _read_metadata(body)
        submission = self._desk.submit(
            "batch", self._wire, requests, problems, self._store_results, input_file_id=file.id, metadata=metadata
        )
        return created(request, show(submission))

    async def _list(self, request: web.Request) -> web.Response:
        shown = [show(submission) for submission in self._desk.of(self._wire)]
        return answer(_page(request, shown, most=100, default=20))

    async def _show(self, request: web.Request) -> web.Response:
        return answer(show(self._submission(request)))

    async def _cancel(self, request: web.Request) -> web.Response:
        submission = self._submission(request)
        if submission.is_over:
            raise BadRequest(f"Cannot cancel a batch with status '{_status(submission)}'.")
        self._desk.cancel(submission)
        return answer(show(submission))

    def _crowded(self, requests: Sequence[BulkRequest]) -> list[Problem]:
        """The problem of a submission that there is no room for."""
        limit, model = self._desk.settings.enqueued_tokens, requests[0].body.get("model")
        if not limit:
            return []
        out = [each for each in self._desk.of(self._wire) if not each.is_over and not each.problems]
        enqueued = [request for each in out for request in each.requests if request.body.get("model") == model]
        if sum(map(self._count_tokens, [*enqueued, *requests])) <= limit:
            return []
        message = (
            f"Enqueued token limit reached for {model} in organization org-rehearsal. Limit: {limit:,} enqueued "
            "tokens. Please try again once some in_progress batches have been completed."
        )
        return [Problem("token_limit_exceeded", message)]

    def _count_tokens(self, request: BulkRequest) -> int:
        with suppress(BadRequest):  # it fails later, by itself
            return self._wire.read(request.body).input_tokens
        return 0

    def _store_results(self, submission: Submission) -> None:
        good = [result for result in submission.results if result.ended is Ended.SUCCEEDED]
        bad = [result for result in submission.results if result.ended is not Ended.SUCCEEDED]
        for kind, results in (("output", good), ("error", bad)):
            if results:
                content = lines([_line(result) for result in results])
                file = StoredFile(f"{submission.id}_{kind}.jsonl", "batch_output", content)
                self._files[file.id] = file
                submission.extras[f"{kind}_file_id"] = file.id

    def _file(self, request: web.Request) -> StoredFile:
        file_id = request.match_info["id"]
        if file_id not in self._files:
            raise NotFound(f"No such File object: {file_id}")
        return self._files[file_id]

    def _submission(self, request: web.Request) -> Submission:
        submission = self._desk.submissions.get(request.match_info["id"])
        if submission is None or submission.wire is not self._wire:
            raise NotFound(f"No batch found with id '{request.match_info['id']}'.")
        return submission


def read_input(content: bytes) -> tuple[list[BulkRequest], list[Problem]]:
    """The requests of an input file, and what is wrong with it."""
    requests: list[BulkRequest] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    models: set[object] = set()
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("body"), dict):
            problems.append(Problem("invalid_json_line", "This line is not a JSON object with a body.", number))
            continue
        custom_id = row.get("custom_id")
        if not isinstance(custom_id, str) or not custom_id or custom_id in seen:
            problems.append(Problem("duplicate_custom_id", "custom_id is missing or not the only one.", number))
        elif row.get("method") != "POST" or row.get("url") != ENDPOINT:
            problems.append(Problem("invalid_url", f"This batch takes POST {ENDPOINT} only.", number))
        else:
            seen.add(custom_id)
            models.add(row["body"].get("model"))
            requests.append(BulkRequest(custom_id, row["body"]))
    if len(models) > 1:
        problems.append(Problem("mismatched_model", "All requests of a batch use the same model."))
    if not requests and not problems:
        problems.append(Problem("empty_file", "The input file has no requests."))
    if len(requests) > MOST_REQUESTS:
        problems.append(Problem("too_many_tasks", f"A batch has at most {MOST_REQUESTS} requests."))
    return requests, problems


def show(submission: Submission) -> dict[str, object]:
    """An object `batch`."""
    status = _status(submission)
    began, ended = int(submission.created), submission.ended and int(submission.ended)
    problems = [
        {"code": each.code, "message": each.message, "param": None, "line": each.line} for each in submission.problems
    ]
    failed = submission.stage is Stage.FAILED
    return {
        "id": submission.id,
        "object": "batch",
        "endpoint": ENDPOINT,
        "errors": {"object": "list", "data": problems} if failed else None,
        "input_file_id": submission.extras["input_file_id"],
        "completion_window": "24h",
        "status": status,
        "output_file_id": submission.extras.get("output_file_id"),
        "error_file_id": submission.extras.get("error_file_id"),
        "created_at": began,
        "in_progress_at": None if submission.stage in {Stage.VALIDATING, Stage.FAILED} else began,
        "expires_at": began + WINDOW_SECONDS,
        "finalizing_at": ended if status == "completed" else None,
        "completed_at": ended if status == "completed" else None,
        "failed_at": ended if failed else None,
        "expired_at": ended if status == "expired" else None,
        "cancelling_at": submission.cancel_asked and int(submission.cancel_asked),
        "cancelled_at": ended if status == "cancelled" else None,
        "request_counts": {
            # As the provider does, it counts only once the file is checked.
            "total": 0 if submission.stage in {Stage.VALIDATING, Stage.FAILED} else len(submission.requests),
            "completed": submission.count(Ended.SUCCEEDED),
            "failed": submission.count(Ended.ERRORED, Ended.EXPIRED, Ended.CANCELED),
        },
        "metadata": submission.extras["metadata"],
    }


def _status(submission: Submission) -> str:
    if submission.stage is Stage.ENDED:
        if submission.cancel_asked is not None:
            return "cancelled"
        return "expired" if submission.count(Ended.EXPIRED) else "completed"
    if submission.cancel_asked is not None and submission.stage is not Stage.FAILED:
        return "cancelling"
    return submission.stage


def _line(result: BulkResult) -> dict[str, object]:
    """A line of the output file or the error file."""
    code, message = _NEVER_RUN.get(result.ended, ("", ""))
    ran = {"status_code": result.status, "request_id": result.request_id, "body": orjson.Fragment(result.body)}
    return {
        "id": f"batch_{result.request_id}",
        "custom_id": result.custom_id,
        "response": None if code else ran,
        "error": {"code": code, "message": message} if code else None,
    }


def _read_metadata(body: Mapping[str, Any]) -> dict[str, str] | None:
    metadata = body.get("metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or len(metadata) > 16 or not all(isinstance(v, str) for v in metadata.values()):
        raise BadRequest("metadata: at most 16 keys with a text each are allowed")
    return metadata


def _page(request: web.Request, shown: list[dict[str, object]], *, most: int, default: int) -> dict[str, object]:
    size = read_page_size(request, default=default, most=most)
    after = request.query.get("after")
    start = 0 if after is None else place_of(shown, after, lambda each: str(each["id"])) + 1
    page = shown[start : start + size]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + size < len(shown),
    }
