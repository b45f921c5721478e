"""Tells a provider's refusals apart: which can be waited out, which need a person, which are this request's fault."""

from collections.abc import Callable, Mapping

import aiohttp
import httpx2
import orjson

from shared.llm.headers import read_retry_after
from shared.llm.provider import LLMReply, Outcome, RateHeaders
from shared.llm.reading import Reading, storable

DETAIL_LENGTH = 500
KEY_HEADERS = ("authorization", "x-api-key")
LEAST_KEY_LENGTH = 12  # shorter ones are words, such as "rehearsal"
RateReader = Callable[[Mapping[str, str]], RateHeaders | None]

# Answers of status 429 or 400 that waiting does not mend: the account is empty or capped.
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error", "access_terminated"})
QUOTA_PHRASES = ("credit balance is too low", "exceeded your current quota")
# OpenAI's 429 for a single request that is larger than the whole limit per minute: no wait makes it fit.
NEVER_FITS = "request too large"

_BY_STATUS = {
    401: Outcome.UNAUTHORISED,
    402: Outcome.QUOTA,
    403: Outcome.UNAUTHORISED,
    404: Outcome.UNKNOWN_MODEL,
    408: Outcome.SERVER_ERROR,  # the provider's own time-out, sent before it worked
    409: Outcome.SERVER_ERROR,
    429: Outcome.RATE_LIMITED,
    503: Outcome.OVERLOADED,
    529: Outcome.OVERLOADED,
}


def classify_error(status: int, code: str, message: str) -> Outcome:
    """The outcome of a reply with an error status. `code` is the provider's error code or type, may be empty."""
    if status < 500:
        told = message.lower()
        if code in QUOTA_CODES or any(phrase in told for phrase in QUOTA_PHRASES):
            return Outcome.QUOTA
        if status == 429 and told.startswith(NEVER_FITS):
            return Outcome.BAD_REQUEST
    if code == "overloaded_error":
        return Outcome.OVERLOADED
    return _BY_STATUS.get(status, Outcome.SERVER_ERROR if status >= 500 else Outcome.BAD_REQUEST)


def body_without_key(response: httpx2.Response) -> bytes:
    """The answer's body without the key that it was asked with: some servers repeat it when they refuse it.

    Bodies are kept in the ledger, and what they say in logs, reasons and pages, which others than the key's owner read.
    """
    body = response.content
    for name in KEY_HEADERS:
        key = response.request.headers.get(name, "").removeprefix("Bearer ").encode()
        if len(key) >= LEAST_KEY_LENGTH:
            body = body.replace(key, b"[key]")
    return body


def reply_from_error(status: int, headers: Mapping[str, str], body: bytes, read_rate: RateReader) -> LLMReply:
    """The reply that an error status stands for. Errors are not billed, so it has no usage."""
    codes, message = _error_of(body)
    quota = next((code for code in codes if code in QUOTA_CODES), "")
    return LLMReply(
        outcome=classify_error(status, quota or next(iter(codes), ""), message),
        raw=storable(body),
        http_status=status,
        request_id=request_id(headers),
        retry_after_seconds=read_retry_after(headers),
        rate=read_rate(headers),
        detail=storable((message or f"status {status}").encode())[:DETAIL_LENGTH],
    )


def reply_from_reading(
    status: int, headers: Mapping[str, str], body: bytes, reading: Reading, read_rate: RateReader
) -> LLMReply:
    """The reply that a body with a good status stands for."""
    return LLMReply(
        outcome=reading.outcome,
        text=reading.text,
        raw=storable(body),
        usage=reading.usage,
        finish_reason=reading.finish_reason,
        http_status=status,
        request_id=request_id(headers),
        rate=read_rate(headers),
        detail=storable(reading.detail.encode("utf-8", "replace"))[:DETAIL_LENGTH] if reading.detail else None,
    )


def reply_from_broken_connection(error: BaseException) -> LLMReply:
    """The reply that a network failure stands for: a connection that was never made costs nothing.

    The transport below both SDKs reports any broken connection as a *connect* time-out, so the original error in the
    chain decides, not the class that surfaces.
    """
    chain = list(_causes(error))
    detail = f"{type(chain[-1]).__name__}: {chain[-1]}"[:DETAIL_LENGTH]
    if any(isinstance(each, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) for each in chain):
        return LLMReply(Outcome.UNREACHABLE, detail=detail)
    return LLMReply(Outcome.CONNECTION, detail=detail)


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's own id of the request: OpenAI says `x-request-id`, Anthropic `request-id`."""
    return headers.get("x-request-id") or headers.get("request-id")


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _error_of(body: bytes) -> tuple[tuple[str, ...], str]:
    """Codes and message of an error body; both providers nest them under "error"."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return (), body[:DETAIL_LENGTH].decode("utf-8", "replace")
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return (), str(error)
    codes = (error.get("code"), error.get("type"))
    return tuple(code for code in codes if isinstance(code, str)), str(error.get("message") or "")
