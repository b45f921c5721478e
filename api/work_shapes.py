"""The documented shapes of what a job is cut into: batches, calls, bulk submissions."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.described import DifficultyName, DomainName, Model
from api.schemas import Number, Page, Shape
from shared.database.states import BatchState, CallState, Stage, SubmissionState


class BatchShape(Shape):
    """A slice of one cell's work."""

    id: UUID = Field(description="the batch's id")
    stage: Stage = Field(description="what it does")
    domain: DomainName
    difficulty: DifficultyName
    number: int = Field(description="counts from 1 within job, cell and stage")
    questions: int = Field(description="how many it is to deal with")
    calls: int = Field(description="how many calls that takes")
    state: BatchState = Field(description="free, held, or how it ended")
    reason: str | None = Field(description="why it was parked or dropped")
    attempts: int = Field(description="claims since anything came of one")
    fence: int = Field(description="the number of the last hold")
    lease_until: datetime | None = Field(description="when its holder loses it, unless it renews")
    worker: str | None = Field(description="the process that holds it, or did last")
    generated: int = Field(description="candidates or questions that were parsed of its replies")
    admitted: int = Field(description="those that went on: admitted, accepted or answered")
    rejected: dict[str, int] = Field(description="the others, by reason")
    repaired: dict[str, int] = Field(description="replies that had to be repaired, by kind")
    calls_parsed: int = Field(description="calls whose reply is parsed")
    calls_given_up: int = Field(description="prompts that no attempt brought a reply for")
    created_at: datetime = Field(description="when it was made")
    finished_at: datetime | None = Field(description="when it ended")


class CallShape(Shape):
    """A row of the ledger."""

    id: UUID = Field(description="the call's id, sent to the provider as `X-Client-Request-Id`")
    batch_id: UUID = Field(description="its batch")
    ordinal: int = Field(description="which of the cell's prompts it sends")
    attempt: int = Field(description="counts from 1 for the same prompt")
    model: Model
    state: CallState = Field(description="out, or how it ended")
    outcome: str | None = Field(description="how it ended, such as `ok`, `cut` or `rate_limited`")
    detail: str | None = Field(description="what the provider or the network said")
    http_status: int | None = Field(description="of the provider's answer")
    request_id: str | None = Field(description="the provider's own id")
    finish_reason: str | None = Field(description="why the model stopped, in the provider's word")
    input_tokens: int | None = Field(description="as the provider counted them")
    cached_tokens: int | None = Field(description="those of them that it had cached")
    output_tokens: int | None = Field(description="as the provider counted them, reasoning included")
    reasoning_tokens: int | None = Field(description="those of them that were reasoning")
    worst_usd: Number = Field(description="US dollars that were held for it")
    cost_usd: Number | None = Field(description="US dollars that it cost")
    prompt: dict[str, object] = Field(description="the prompt tuple and the version of the wording")
    generated: int | None = Field(description="candidates found in its reply")
    admitted: int | None = Field(description="how many of them went on")
    sent_at: datetime = Field(description="when it was written to the ledger, just before it was sent")
    settled_at: datetime | None = Field(description="when its reply was stored, or its failure known")
    parsed_at: datetime | None = Field(description="when its reply was parsed")


class SubmissionShape(Shape):
    """Calls of a batch to one model that are handed in together."""

    id: UUID = Field(description="the bulk submission's id")
    batch_id: UUID = Field(description="the batch whose calls these are")
    provider: str = Field(description="who is asked")
    model: Model
    state: SubmissionState = Field(description="how far it is")
    requests: int = Field(description="how many calls are in it")
    provider_id: str | None = Field(description="the provider's own id, as soon as it is known")
    attempts: int = Field(description="how often it was handed in")
    created_at: datetime = Field(description="when it was intended")
    attempted_at: datetime | None = Field(description="since when the provider may have it")
    submitted_at: datetime | None = Field(description="when the provider's id was known")
    ended_at: datetime | None = Field(description="when it was over")
    cancel_asked_at: datetime | None = Field(description="when the provider was asked to cancel it")
    detail: str | None = Field(description="what the provider says of it beside its state")


class BatchPage(Page):
    """A page of batches."""

    items: list[BatchShape] = Field(description="the batches of this page")


class CallPage(Page):
    """A page of calls."""

    items: list[CallShape] = Field(description="the calls of this page")


class SubmissionPage(Page):
    """A page of bulk submissions."""

    items: list[SubmissionShape] = Field(description="the bulk submissions of this page")
