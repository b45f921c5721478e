"""Bulk submissions by Anthropic's Message Batches."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
import orjson
from anthropic import omit

from shared.ids import CallId
from shared.llm.anthropic import JSON, open_client, write_body
from shared.llm.bulk import (
    ASK_SECONDS,
    CLOCK_SKEW,
    SUBMIT_SECONDS,
    BulkProblem,
    BulkState,
    BulkStatus,
    Undecided,
    check_size,
    read_call_id,
)
from shared.llm.bulk_asking import asking, listed_since
from shared.llm.bulk_reading import malformed, read_count, read_object, read_rows, read_time
from shared.llm.failures import reply_from_error, reply_from_reading
from shared.llm.headers import read_anthropic_rate
from shared.llm.provider import LLMReply, LLMRequest, Outcome
from shared.llm.reading import read_reply

PAGE = 100
SLICE_BYTES = 1 << 18
# An error inside a submission comes without the status that a single call would have got for it:
# https://platform.claude.com/docs/en/api/errors
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_NEVER_RUN = {"expired": Outcome.EXPIRED, "canceled": Outcome.CANCELLED}
_REFUSED_CANCEL = frozenset({400, 409})
_asking = partial(asking, read_anthropic_rate)


class AnthropicBulkProvider:
    """Submissions cannot carry our id, so a lost one is known by the custom ids in its results."""

    name = "anthropic"

    def __init__(self, api_key: str, base_url: str | None) -> None:
        self._client = open_client(api_key, base_url)

    async def submit(self, submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:  # noqa: ARG002 - there is no place for it
        """Hand the requests in."""
        content = await asyncio.to_thread(_write_body, requests)
        check_size(self.name, len(requests), len(content))
        async with _asking(SUBMIT_SECONDS, submits=True):
            answer = await self._client.post(
                "/v1/messages/batches",
                cast_to=httpx2.Response,
                content=_slices(content),
                options={"headers": {**JSON, "Content-Length": str(len(content))}},
            )
        return read_status(read_object(answer.content, submits=True), submits=True)

    async def look(self, provider_id: str) -> BulkStatus:
        """How far it is."""
        async with _asking(ASK_SECONDS):
            answer = await self._client.messages.batches.with_raw_response.retrieve(provider_id)
            body = await answer.read()
        return read_status(read_object(body))

    async def find(
        self,
        submission_id: UUID,  # noqa: ARG002 - Anthropic does not know it
        *,
        since: datetime,
        call_ids: Collection[CallId],
        known: Collection[str],
    ) -> BulkStatus | Undecided | None:
        """The submission whose results are those of our calls, of all unknown ones with as many requests."""
        calls = frozenset(call_ids)
        undecided = []
        async for status, _ in listed_since(since - CLOCK_SKEW, self._ask_page, read_status):
            if status.provider_id in known or status.requests != len(calls):
                continue
            if status.state is BulkState.IN_PROGRESS:
                undecided.append(status.provider_id)
            elif await self._is_of(status.provider_id, calls):
                return status
        return Undecided(tuple(undecided)) if undecided else None

    async def results(self, provider_id: str) -> AsyncGenerator[tuple[CallId, LLMReply], None]:
        """The lines of the results."""
        async with aclosing(self._result_rows(provider_id)) as rows:
            async for row in rows:
                call_id = read_call_id(row.get("custom_id"))
                if call_id is not None:
                    yield call_id, read_result(row.get("result"))

    async def cancel(self, provider_id: str) -> BulkStatus:
        """Cancel it, and say how far it is."""
        try:
            async with _asking(ASK_SECONDS):
                answer = await self._client.messages.batches.with_raw_response.cancel(provider_id)
                body = await answer.read()
        except BulkProblem as problem:
            if problem.http_status in _REFUSED_CANCEL:  # it has ended
                return await self.look(provider_id)
            raise
        return read_status(read_object(body))

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _is_of(self, provider_id: str, calls: frozenset[CallId]) -> bool:
        """Whether it holds our calls: the first result tells, since every submission holds new calls only."""
        async with aclosing(self._result_rows(provider_id)) as rows:
            async for row in rows:
                return read_call_id(row.get("custom_id")) in calls
        return False

    async def _result_rows(self, provider_id: str) -> AsyncGenerator[dict[str, Any], None]:
        async with AsyncExitStack() as stack:
            async with _asking(ASK_SECONDS):
                opening = self._client.messages.batches.with_streaming_response.results(provider_id)
                response = await stack.enter_async_context(opening)
            async for row in read_rows(response.iter_bytes(), lambda: _asking(ASK_SECONDS)):
                yield row

    async def _ask_page(self, after: str | None) -> dict[str, Any]:
        async with _asking(ASK_SECONDS):
            answer = await self._client.messages.batches.with_raw_response.list(after_id=after or omit, limit=PAGE)
            return read_object(await answer.read())


def read_status(row: Mapping[str, Any], *, submits: bool = False) -> BulkStatus:
    """An object `message_batch`; raises BulkProblem."""
    provider_id, status = row.get("id"), row.get("processing_status")
    try:
        created_at = read_time(row.get("created_at"))
    except ValueError:
        raise malformed("a message batch without a time", submits=submits) from None
    if not isinstance(provider_id, str) or not isinstance(status, str):
        raise malformed("a message batch without an id or a status", submits=submits)
    counts = row.get("request_counts")
    requests = sum(map(read_count, counts.values())) if isinstance(counts, Mapping) else 0
    state = BulkState.ENDED if status == "ended" else BulkState.IN_PROGRESS
    detail = None if status in {"ended", "in_progress"} else status
    return BulkStatus(provider_id, state, created_at, requests, detail)


def read_result(result: object) -> LLMReply:
    """One result, as a single call would have got it."""
    fields = result if isinstance(result, Mapping) else {}
    kind = str(fields.get("type"))
    if kind in _NEVER_RUN:
        return LLMReply(_NEVER_RUN[kind], detail=f"the request is {kind}")
    if kind == "errored":
        body = orjson.dumps(fields.get("error"))
        return reply_from_error(_status_of(fields.get("error")), {}, body, read_anthropic_rate)
    body = orjson.dumps(fields.get("message"))
    return reply_from_reading(200, {}, body, read_reply("anthropic", body), read_anthropic_rate)


def _status_of(error: object) -> int:
    inner = error.get("error") if isinstance(error, Mapping) else None
    return STATUSES.get(str(inner.get("type")), 500) if isinstance(inner, Mapping) else 500


def _write_body(requests: Sequence[LLMRequest]) -> bytes:
    rows = (orjson.dumps({"custom_id": str(request.call_id), "params": write_body(request)}) for request in requests)
    return b'{"requests":[' + b",".join(rows) + b"]}"


async def _slices(content: bytes) -> AsyncIterator[bytes]:
    """The content piece by piece: as a whole it would block the event loop while it is sent."""
    for start in range(0, len(content), SLICE_BYTES):
        yield content[start : start + SLICE_BYTES]
