"""Bulk submissions by OpenAI's Batch API: a file of requests goes up, files of results come down."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from openai import omit

from shared.ids import CallId
from shared.llm.bulk import (
    ASK_SECONDS,
    CLOCK_SKEW,
    SUBMIT_SECONDS,
    BulkProblem,
    BulkState,
    BulkStatus,
    check_size,
    read_call_id,
)
from shared.llm.bulk_asking import asking, listed_since
from shared.llm.bulk_reading import malformed, read_count, read_object, read_rows, read_time
from shared.llm.failures import classify_error, reply_from_error, reply_from_reading
from shared.llm.headers import read_openai_rate
from shared.llm.openai import limit_name, open_client, write_body
from shared.llm.provider import LLMReply, LLMRequest, Outcome
from shared.llm.reading import read_reply

METADATA_KEY = "questmill_submission"
PAGE = 100
_OVER = frozenset({"completed", "expired", "cancelled"})
# Of requests that have no response of their own.
_OUTCOMES = {"batch_expired": Outcome.EXPIRED, "batch_cancelled": Outcome.CANCELLED}
_REFUSED_CANCEL = frozenset({400, 409})
# A submission is taken, and refused when its file is checked, while too much of the model is enqueued: "Enqueued token
# limit reached for gpt-6-luna in organization ... Limit: 90,000 enqueued tokens. Please try again once some in_progress
# batches have been completed." A limit of enqueued requests is told in the same words.
_NO_ROOM_CODE, _NO_ROOM_WORD = "token_limit_exceeded", "enqueued"
_asking = partial(asking, read_openai_rate)


class OpenAIBulkProvider:
    """Submissions carry our id as metadata, by which a lost one is found."""

    name = "openai"

    def __init__(self, api_key: str, base_url: str | None) -> None:
        self._client = open_client(api_key, base_url)
        self._limit_name = limit_name(base_url)

    async def submit(self, submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:
        """Upload the requests and start on them."""
        content = await asyncio.to_thread(self._write_file, requests)
        check_size(self.name, len(requests), len(content))
        async with _asking(SUBMIT_SECONDS):
            upload = await self._client.files.with_raw_response.create(
                file=(f"{submission_id}.jsonl", content), purpose="batch"
            )
        file_id = read_object(upload.content).get("id")
        if not isinstance(file_id, str):
            raise malformed("a file without an id")
        async with _asking(ASK_SECONDS, submits=True):
            answer = await self._client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={METADATA_KEY: str(submission_id)},
            )
        return read_status(read_object(answer.content, submits=True), submits=True)

    async def look(self, provider_id: str) -> BulkStatus:
        """How far it is."""
        return read_status(await self._retrieve(provider_id))

    async def find(
        self,
        submission_id: UUID,
        *,
        since: datetime,
        call_ids: Collection[CallId],  # noqa: ARG002 - the metadata tells all
        known: Collection[str],
    ) -> BulkStatus | None:
        """The submission with our id in its metadata; one that runs before one that failed."""
        failed: BulkStatus | None = None
        async for status, row in listed_since(since - CLOCK_SKEW, self._ask_page, read_status):
            metadata = row.get("metadata")
            if not isinstance(metadata, Mapping) or metadata.get(METADATA_KEY) != str(submission_id):
                continue
            if status.provider_id in known:
                continue
            if status.state is not BulkState.FAILED:
                return status
            failed = status
        return failed

    async def results(self, provider_id: str) -> AsyncGenerator[tuple[CallId, LLMReply], None]:
        """The lines of the output file, then those of the error file."""
        row = await self._retrieve(provider_id)
        if read_status(row).state is BulkState.IN_PROGRESS:
            raise BulkProblem(Outcome.BAD_REQUEST, f"{provider_id} has not ended yet")
        for file_id in (row.get("output_file_id"), row.get("error_file_id")):
            if not isinstance(file_id, str):
                continue
            async with AsyncExitStack() as stack:
                async with _asking(ASK_SECONDS):
                    opening = self._client.files.with_streaming_response.content(file_id)
                    response = await stack.enter_async_context(opening)
                async for line in read_rows(response.iter_bytes(), lambda: _asking(ASK_SECONDS)):
                    call_id = read_call_id(line.get("custom_id"))
                    if call_id is not None:
                        yield call_id, read_result(line)

    async def cancel(self, provider_id: str) -> BulkStatus:
        """Cancel it, and say how far it is."""
        try:
            async with _asking(ASK_SECONDS):
                answer = await self._client.batches.with_raw_response.cancel(provider_id)
        except BulkProblem as problem:
            if problem.http_status in _REFUSED_CANCEL:  # over, or being cancelled already
                return await self.look(provider_id)
            raise
        return read_status(read_object(answer.content))

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    def _write_file(self, requests: Sequence[LLMRequest]) -> bytes:
        return b"".join(
            orjson.dumps(
                {
                    "custom_id": str(request.call_id),
                    "method": "POST",
                    "url": "/v1/chat/completions",
                    "body": write_body(request, self._limit_name),
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for request in requests
        )

    async def _retrieve(self, provider_id: str) -> dict[str, Any]:
        async with _asking(ASK_SECONDS):
            answer = await self._client.batches.with_raw_response.retrieve(provider_id)
        return read_object(answer.content)

    async def _ask_page(self, after: str | None) -> dict[str, Any]:
        async with _asking(ASK_SECONDS):
            answer = await self._client.batches.with_raw_response.list(after=after or omit, limit=PAGE)
        return read_object(answer.content)


def read_status(row: Mapping[str, Any], *, submits: bool = False) -> BulkStatus:
    """An object `batch`; raises BulkProblem."""
    provider_id, status = row.get("id"), row.get("status")
    try:
        created_at = read_time(row.get("created_at"))
    except ValueError:
        raise malformed("a batch without a time", submits=submits) from None
    if not isinstance(provider_id, str) or not isinstance(status, str):
        raise malformed("a batch without an id or a status", submits=submits)
    counts = row.get("request_counts")
    requests = read_count(counts.get("total")) if isinstance(counts, Mapping) else 0
    if status == "failed":
        outcome, why = _read_errors(row.get("errors"))
        return BulkStatus(provider_id, BulkState.FAILED, created_at, requests, why, outcome)
    state = BulkState.ENDED if status in _OVER else BulkState.IN_PROGRESS
    detail = None if status in {"completed", "in_progress"} else status
    return BulkStatus(provider_id, state, created_at, requests, detail)


def read_result(line: Mapping[str, Any]) -> LLMReply:
    """A line of an output file or an error file, as a single call would have got it."""
    response, error = line.get("response"), line.get("error")
    if isinstance(response, Mapping) and response:
        body = orjson.dumps(response.get("body"))
        status = read_count(response.get("status_code"))
        request_id = response.get("request_id")
        headers = {"x-request-id": request_id} if isinstance(request_id, str) else {}
        if 200 <= status < 300:
            return reply_from_reading(status, headers, body, read_reply("openai", body), read_openai_rate)
        return reply_from_error(status, headers, body, read_openai_rate)
    code, message = (error.get("code"), error.get("message")) if isinstance(error, Mapping) else (None, None)
    outcome = _OUTCOMES.get(str(code), Outcome.SERVER_ERROR)
    return LLMReply(outcome, detail=f"{code}: {message}" if code else "a result without a response")


def _read_errors(errors: object) -> tuple[Outcome, str]:
    """What the first error counts as, and what the first few say."""
    data = errors.get("data") if isinstance(errors, Mapping) else None
    rows = [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []
    if not rows:
        return Outcome.BAD_REQUEST, "no reason was given"
    code, message = (str(rows[0].get(name) or "") for name in ("code", "message"))
    if code == _NO_ROOM_CODE or _NO_ROOM_WORD in message.lower():
        outcome = Outcome.RATE_LIMITED
    else:
        outcome = classify_error(400, code, message)
    return outcome, "; ".join(map(_tell, rows[:5]))


def _tell(error: Mapping[str, Any]) -> str:
    told = ": ".join(str(error[name]) for name in ("code", "message") if error.get(name))
    return told + (f" (line {error['line']})" if error.get("line") else "")
