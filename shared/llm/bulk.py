"""Bulk submissions: many requests handed in at once, answered within a day at half price. One shape for all providers.

Both providers call it a batch, a word that means something else here.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from shared.ids import CallId
from shared.llm.provider import LLMReply, LLMRequest, Outcome

# Uploading hundreds of megabytes, and any other question.
SUBMIT_SECONDS = 600.0
ASK_SECONDS = 60.0
# How far the provider's clock may be behind ours where its submissions since a moment are looked for.
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class BulkLimits:
    """The most that one submission may hold."""

    requests: int
    megabytes: int


# https://developers.openai.com/api/docs/guides/batch (the doc string of the SDK's batches.create says the same) and
# https://platform.claude.com/docs/en/build-with-claude/batch-processing.
LIMITS = {"openai": BulkLimits(50_000, 200), "anthropic": BulkLimits(100_000, 256)}


class BulkState(StrEnum):
    """How far a submission is."""

    IN_PROGRESS = "in_progress"
    ENDED = "ended"  # every request that was run has its result, also after expiry or a cancel
    FAILED = "failed"  # refused as a whole, nothing was run


@dataclass(frozen=True, slots=True)
class BulkStatus:
    """What the provider says of a submission. `requests` is 0 as long as OpenAI has not checked the file.

    `detail` is the provider's word where it says more than the state: why it failed, expired, being cancelled.
    `outcome` is what the refusal of one that failed counts as: RATE_LIMITED when there was no room for it.
    """

    provider_id: str
    state: BulkState
    created_at: datetime
    requests: int
    detail: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Undecided:
    """Submissions that may be the one looked for, which only their results will tell: ask again when they ended."""

    provider_ids: tuple[str, ...]


class BulkProblem(Exception):
    """A question to the provider that failed.

    `maybe_submitted`: the provider may have taken the submission all the same; look for it before submitting anew.
    """

    def __init__(
        self,
        outcome: Outcome,
        detail: str,
        *,
        retry_after_seconds: float | None = None,
        http_status: int | None = None,
        maybe_submitted: bool = False,
    ) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.http_status = http_status
        self.maybe_submitted = maybe_submitted

    @classmethod
    def from_reply(cls, reply: LLMReply, *, submits: bool) -> "BulkProblem":
        """The problem that a failed reply stands for; `submits`: its request was one to take a submission."""
        was_refused = reply.outcome is Outcome.UNREACHABLE or 400 <= (reply.http_status or 0) < 500
        return cls(
            reply.outcome,
            reply.detail or "",
            retry_after_seconds=reply.retry_after_seconds,
            http_status=reply.http_status,
            maybe_submitted=submits and not was_refused,
        )


class BulkProvider(Protocol):
    """A model provider's side of bulk submissions. Every method raises BulkProblem, and no other error of its own."""

    name: str

    async def submit(self, submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:
        """Hand requests in, once; each has its call id as custom id. OpenAI takes one model a submission."""
        ...

    async def look(self, provider_id: str) -> BulkStatus:
        """How far it is."""
        ...

    async def find(
        self, submission_id: UUID, *, since: datetime, call_ids: Collection[CallId], known: Collection[str]
    ) -> BulkStatus | Undecided | None:
        """Look for a submission whose answer was lost, among those since the moment before it was sent.

        `known` are the provider's ids of all other submissions of ours. None: it is not there. A request that timed
        out may still be on its way, so that None says little in the first minutes.
        """
        ...

    def results(self, provider_id: str) -> AsyncGenerator[tuple[CallId, LLMReply], None]:
        """The replies of a submission that ended, in any order, as single calls would have got them.

        Those that expired or were cancelled come with an outcome of their own; one that does not come was not run.
        Results whose custom id is no call id are left out. Close it (contextlib.aclosing) when not read to its end.
        """
        ...

    async def cancel(self, provider_id: str) -> BulkStatus:
        """Have nothing more of it run; harmless when it has ended. Results there are remain."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


def most_requests(provider: str) -> int:
    """The most requests in one submission."""
    return LIMITS[provider].requests


def check_size(provider: str, requests: int, size_bytes: int) -> None:
    """Raises BulkProblem where a submission is larger than the provider takes, or empty."""
    limits = LIMITS[provider]
    if not 1 <= requests <= limits.requests or size_bytes > limits.megabytes * 1_000_000:
        raise BulkProblem(
            Outcome.BAD_REQUEST,
            f"{requests:,} requests of {size_bytes / 1_000_000:,.1f} MB together: {provider} takes 1 to "
            f"{limits.requests:,} requests and {limits.megabytes} MB in one bulk submission",
        )


def read_call_id(custom_id: object) -> CallId | None:
    """The call that a custom id names; None where it is none of ours."""
    try:
        return CallId(UUID(custom_id)) if isinstance(custom_id, str) else None
    except ValueError:
        return None
