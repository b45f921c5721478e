"""The one shape in which every provider is called and answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.ids import CallId


class Outcome(StrEnum):
    """How a call ended, whatever the provider."""

    OK = "ok"  # a whole reply
    CUT = "cut"  # a reply that hit the output limit: its whole items count
    REFUSED = "refused"  # the model declined, or a filter stopped it
    EMPTY = "empty"  # a paid reply without text
    NO_ROOM = "no_room"  # the output limit was used up before any text: by reasoning, as a rule
    MALFORMED = "malformed"  # status 200, but not the API's shape
    RATE_LIMITED = "rate_limited"  # 429
    QUOTA = "quota"  # 429 insufficient_quota, 402: waiting does not help, a person must
    OVERLOADED = "overloaded"  # 529 or 503
    SERVER_ERROR = "server_error"  # any other 5xx
    TIMEOUT = "timeout"  # no answer in time, after the request had left
    CONNECTION = "connection"  # the connection broke after the request had left
    UNREACHABLE = "unreachable"  # no connection was made, so nothing was sent
    BAD_REQUEST = "bad_request"  # the request itself is wrong, e.g. too long for the model
    UNAUTHORISED = "unauthorised"  # the key is wrong, or may not use this model
    UNKNOWN_MODEL = "unknown_model"  # 404
    LOST = "lost"  # its process is gone, nobody saw the answer
    EXPIRED = "expired"  # its bulk submission's time was over before it was run
    CANCELLED = "cancelled"  # its bulk submission was cancelled before it was run

    @property
    def usable(self) -> bool:
        """The text is worth parsing."""
        return self in _USABLE

    @property
    def maybe_paid(self) -> bool:
        """The provider may have charged for it, and no usage says how much."""
        return self in _MAYBE_PAID

    @property
    def never_run(self) -> bool:
        """Part of a bulk submission that ended before its turn: nothing was paid, and the prompt is as good as new."""
        return self in _NEVER_RUN

    @property
    def throttled(self) -> bool:
        """The provider asks everybody to slow down."""
        return self in _THROTTLED


_USABLE = frozenset({Outcome.OK, Outcome.CUT})
_MAYBE_PAID = frozenset({Outcome.MALFORMED, Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.LOST})
_THROTTLED = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED})
_NEVER_RUN = frozenset({Outcome.EXPIRED, Outcome.CANCELLED})


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider bills them: cached and cache-write are part of the input, reasoning of the output."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """What counts against a limit of tokens per minute."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """What a reply says about the provider's limits per minute; None where it says nothing."""

    limit_requests: int | None = None
    limit_tokens: int | None = None
    remaining_requests: int | None = None
    remaining_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """One request. `model` is the provider's own name for it; `schema` a strict JSON schema of the reply."""

    call_id: CallId
    model: str
    system: str
    user: str
    schema: Mapping[str, object]
    schema_name: str
    max_output_tokens: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class LLMReply:
    """How one request ended. `raw` is the body as it came, kept before anything parses it."""

    outcome: Outcome
    text: str = ""
    raw: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    http_status: int | None = None
    request_id: str | None = None
    retry_after_seconds: float | None = None
    rate: RateHeaders | None = None
    detail: str | None = None


class Provider(Protocol):
    """A model provider. Its failures are replies, never exceptions."""

    name: str

    async def complete(self, request: LLMRequest) -> LLMReply:
        """Send the request once, without any retry."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
