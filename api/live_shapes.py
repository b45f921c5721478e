"""The documented shapes of what pages show beside jobs and datasets."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas import Shape
from shared.database.states import BatchState, QuestionState, Stage


class LiveBatchShape(Shape):
    """A batch that is worked on."""

    id: UUID
    label: str = Field(description="as Flower shows it")
    stage: Stage
    cell: str = Field(description="domain/difficulty")
    domain: str
    difficulty: str
    state: BatchState
    in_bulk: bool = Field(description="with a provider, as a bulk submission; no worker holds it")
    worker: str | None
    questions: int
    calls: int
    calls_parsed: int
    lease_until: datetime | None
    flower_url: str = Field(description="its task; Flower knows those that it has seen since it started")


class LiveQuestionShape(Shape):
    """A question that came lately."""

    id: int
    question: str
    domain: str
    difficulty: str
    state: QuestionState
    model: str | None
    created_at: datetime


class LiveShape(Shape):
    """What a job is at."""

    batches: list[LiveBatchShape] = Field(description="oldest first, at most 200")
    questions: list[LiveQuestionShape] = Field(description="the last 20, newest first")


class SeriesShape(Shape):
    """A job over time, in equal steps; every list has a number for each."""

    from_: datetime = Field(alias="from")
    to: datetime
    step_seconds: int
    source: Literal["ledger", "batches", "archived"] = Field(
        description="batches: of a large job, by when its batches ended; archived: nothing is left to tell"
    )
    sampled: list[str] = Field(description="the lists that are estimated from some calls of each step")
    times: list[datetime] = Field(description="when each step begins")
    admitted: list[int]
    rejected: list[int] = Field(description="candidates that were refused, and questions that judges rejected")
    answered: list[int]
    calls: list[int]
    failed: list[int]
    latency_p50_ms: list[float | None]
    latency_p95_ms: list[float | None]
    cost_usd: list[float] = Field(description="spent until the end of the step")


class LimitShape(Shape):
    """One model's limits as they stand."""

    model: str
    requests_per_minute: float | None = Field(description="null: no limit")
    tokens_per_minute: float | None = Field(description="null: no limit")
    used_requests: int = Field(description="sent in the last 60 seconds")
    used_tokens: int = Field(description="of those that have come back")
    learned: bool = Field(description="told by the provider's replies")
    paused_until: datetime | None
    wait_seconds: float = Field(description="how long a call would wait that asked now")


class LimitsShape(Shape):
    """The limits of all models that were lately asked."""

    broker: Literal["ok", "away"] = Field(description="away: the limits are kept there, so none is shown")
    items: list[LimitShape]


class RejectionShape(Shape):
    """A candidate that was refused."""

    id: int
    reason: str
    text: str | None = Field(description="null once its reply was pruned")
    question_id: int | None = Field(description="the question that it repeats")
    question: str | None = Field(description="that question's text")
    similarity: float | None
    matched: str | None = Field(description="the benchmark's item that it is like, and how")
    created_at: datetime


class RejectionPage(Shape):
    """A page of refused candidates, newest first."""

    items: list[RejectionShape]
    next_cursor: str | None


class BinShape(Shape):
    """So many texts with from <= tokens < to."""

    from_: int = Field(alias="from")
    to: int
    count: int


class LengthsShape(Shape):
    """How long texts are, in tokens."""

    mean: float
    median: int
    bins: list[BinShape]


class NamedCountShape(Shape):
    """How many questions have this."""

    name: str
    count: int


class DistributionsShape(Shape):
    """What the selected questions of a dataset are like."""

    questions: int = Field(description="how many there are")
    looked_at: int = Field(description="how many of them are counted here")
    sampled: bool
    prompt_tokens: LengthsShape | None
    completion_tokens: LengthsShape | None = Field(description="of first answers; null where there is none")
    topics: list[NamedCountShape] = Field(description="the most frequent tags")
    models: list[NamedCountShape] = Field(description="who made them; baseline: nobody")


class PublicSettingsShape(Shape):
    """What pages need to know of the service."""

    version: str
    rehearsal: bool = Field(description="the rehearsal server plays the models: nothing is paid")
    providers: list[str] = Field(description="those that some worker has a key for")
    flower_url: str
    presets: dict[str, dict[str, object]] = Field(description="job specs to begin with, by name")
