"""The documented shapes of what pages show beside jobs and datasets."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from api.described import DifficultyName, DomainName, Model
from api.schemas import Shape
from shared.database.states import BatchState, QuestionState, Stage


class LiveBatchShape(Shape):
    """A batch that is worked on."""

    id: UUID = Field(description="the batch's id")
    label: str = Field(description="as Flower shows it")
    stage: Stage = Field(description="what it does")
    cell: str = Field(description="domain/difficulty")
    domain: DomainName
    difficulty: DifficultyName
    state: BatchState = Field(description="free, held, or how it ended")
    in_bulk: bool = Field(description="with a provider, as a bulk submission; no worker holds it")
    worker: str | None = Field(description="the process that holds it")
    questions: int = Field(description="how many it is to deal with")
    calls: int = Field(description="how many calls it is expected to take")
    calls_parsed: int = Field(description="calls whose reply is parsed")
    lease_until: datetime | None = Field(description="when its holder loses it, unless it renews")
    flower_url: str = Field(description="its task; Flower knows those that it has seen since it started")


class LiveQuestionShape(Shape):
    """A question that came lately."""

    id: int = Field(description="the question's id")
    question: str = Field(description="its text")
    domain: DomainName
    difficulty: DifficultyName
    state: QuestionState = Field(description="what it counts for")
    model: str | None = Field(description="`provider/model`")
    created_at: datetime = Field(description="when it was admitted")


class LiveShape(Shape):
    """What a job is at."""

    batches: list[LiveBatchShape] = Field(description="oldest first, at most 200")
    questions: list[LiveQuestionShape] = Field(description="the last 20, newest first")


class SeriesShape(Shape):
    """A job over time, in equal steps; every list has a number for each."""

    from_: datetime = Field(alias="from", description="when the first step begins")
    to: datetime = Field(description="when the last step ends")
    step_seconds: int = Field(description="the length of a step")
    source: Literal["ledger", "batches", "archived"] = Field(
        description="batches: of a large job, by when its batches ended; archived: nothing is left to tell"
    )
    sampled: list[str] = Field(description="the lists that are estimated from some calls of each step")
    times: list[datetime] = Field(description="when each step begins")
    admitted: list[int] = Field(description="questions that were admitted")
    rejected: list[int] = Field(description="candidates that were refused, and questions that judges rejected")
    answered: list[int] = Field(description="answers that were stored")
    calls: list[int] = Field(description="calls that were sent")
    failed: list[int] = Field(description="calls that failed")
    latency_p50_ms: list[float | None] = Field(
        description="half of the calls were answered within so many milliseconds"
    )
    latency_p95_ms: list[float | None] = Field(description="19 of 20 calls were answered within so many milliseconds")
    cost_usd: list[float] = Field(description="spent until the end of the step")


class LimitShape(Shape):
    """One model's limits as they stand."""

    model: Model
    requests_per_minute: float | None = Field(description="null: no limit")
    tokens_per_minute: float | None = Field(description="null: no limit")
    used_requests: int = Field(description="sent in the last 60 seconds")
    used_tokens: int = Field(description="of those that have come back")
    learned: bool = Field(description="told by the provider's replies")
    paused_until: datetime | None = Field(description="when it may be asked again; null: now")
    wait_seconds: float = Field(description="how long a call would wait that asked now")


class LimitsShape(Shape):
    """The limits of all models that were lately asked."""

    broker: Literal["ok", "away"] = Field(description="away: the limits are kept there, so none is shown")
    items: list[LimitShape] = Field(description="by model")


class RejectionShape(Shape):
    """A candidate that was refused."""

    id: int = Field(description="the refusal's number")
    reason: str = Field(description="why it was refused, such as `exact`, `near` or a gate's name")
    text: str | None = Field(description="null once its reply was pruned")
    question_id: int | None = Field(description="the question that it repeats")
    question: str | None = Field(description="that question's text")
    similarity: float | None = Field(description="Jaccard similarity to the question that it repeats")
    matched: str | None = Field(description="the benchmark's item that it is like, and how")
    created_at: datetime = Field(description="when it was refused")


class RejectionPage(Shape):
    """A page of refused candidates, newest first."""

    items: list[RejectionShape] = Field(description="the refused candidates of this page")
    next_cursor: str | None = Field(description="the `cursor` of the next page; null on the last")


class BinShape(Shape):
    """So many texts with from <= tokens < to."""

    from_: int = Field(alias="from", description="the fewest tokens")
    to: int = Field(description="one more than the most tokens")
    count: int = Field(description="how many texts")


class LengthsShape(Shape):
    """How long texts are, in tokens."""

    mean: float = Field(description="tokens of a text on average")
    median: int = Field(description="half of the texts have at most so many")
    bins: list[BinShape] = Field(description="from the shortest to the longest")


class NamedCountShape(Shape):
    """How many questions have this."""

    name: str = Field(description="the topic or model")
    count: int = Field(description="how many questions")


class DistributionsShape(Shape):
    """What the selected questions of a dataset are like."""

    questions: int = Field(description="how many there are")
    looked_at: int = Field(description="how many of them are counted here")
    sampled: bool = Field(description="whether only some questions were looked at")
    prompt_tokens: LengthsShape | None = Field(description="of the questions; null where there is none")
    completion_tokens: LengthsShape | None = Field(description="of first answers; null where there is none")
    topics: list[NamedCountShape] = Field(description="the most frequent tags")
    models: list[NamedCountShape] = Field(description="who made them; baseline: nobody")


class PublicSettingsShape(Shape):
    """What pages need to know of the service."""

    version: str = Field(description="of this release")
    rehearsal: bool = Field(description="the rehearsal server plays the models: nothing is paid")
    providers: list[str] = Field(description="those that some worker has a key for")
    flower_url: str = Field(description="where a browser finds Flower")
    presets: dict[str, dict[str, object]] = Field(description="job specs to begin with, by name")
