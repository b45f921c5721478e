"""The documented shapes of jobs and how far they are, and the bodies that change one."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import Number, Page, PlanShape, Shape, StageLeftShape
from shared.database.states import JobState, Stage
from shared.jobs.spec_fields import Budget


class CallCountsShape(Shape):
    """The ledger, counted."""

    sent: int = Field(description="all calls, whatever became of them")
    ok: int = Field(description="those with a paid reply")
    failed: int = Field(description="those that the provider or the network refused, or whose outcome stays unknown")
    retried: int = Field(description="those that repeat a failed one")
    in_flight: int = Field(description="those that are out now")
    input_tokens: int = Field(description="of all calls")
    output_tokens: int = Field(description="of all calls, reasoning included")
    outcomes: dict[str, int] = Field(description="how they ended, such as `ok`, `cut` or `rate_limited`")


class TokensShape(Shape):
    """Tokens of the selected questions, by what they are of."""

    prompt: int = Field(description="of the questions")
    completion: int = Field(description="of their first answers")


class TokenSharesShape(Shape):
    """Share of the tokens per difficulty."""

    planned: dict[str, Number] = Field(description="as the plan has them")
    measured: dict[str, Number] = Field(description="of the selected questions, counted in the way of the plan")
    prompt: dict[str, Number] = Field(description="of the questions alone")
    completion: dict[str, Number] = Field(description="of their first answers alone")


class StageMoneyShape(Shape):
    """Results, calls and tokens of a stage, and US dollars."""

    questions: int = Field(description="results of the stage")
    calls: int = Field(description="calls of the stage")
    input_tokens: int = Field(description="of those calls")
    output_tokens: int = Field(description="of those calls")
    cost_usd: Number = Field(description="US dollars")


class StageProgressShape(Shape):
    """One stage of a job: what it dealt with, and its money beside what was forecast."""

    stage: Stage = Field(description="which stage")
    judged: int = Field(description="candidates or questions that it has dealt with")
    passed: int = Field(description="those that went on: admitted, accepted or answered")
    forecast: StageMoneyShape | None = Field(description="as the first plan had it; null for a job of an older release")
    actual: StageMoneyShape = Field(description="so far")
    left: StageLeftShape = Field(description="still to do")


class ProgressShape(Shape):
    """How far a job is, counted from rows."""

    target: int = Field(description="questions that are to be selected")
    generated: int = Field(description="candidates that were parsed")
    admitted: int = Field(description="candidates that became questions")
    selected: int = Field(description="questions that count towards a target")
    validated: int = Field(default=0, description="selected questions that their judges accepted")
    answered: int = Field(default=0, description="selected questions that are answered")
    stages: list[StageProgressShape] = Field(default_factory=list, description="in their order")
    rejected: dict[str, int] = Field(description="refused candidates and rejected questions, by reason")
    repaired: dict[str, int] = Field(description="replies that had to be repaired, by kind")
    cells: list[dict[str, object]] = Field(description="each cell with its target and what it has")
    batches: dict[str, int] = Field(description="batches by state")
    calls: CallCountsShape = Field(description="calls by outcome")
    incidents: dict[str, int] = Field(description="how often a lease ran out, and a stale holder was fenced off")
    tokens: TokensShape = Field(description="of the selected questions")
    token_shares: TokenSharesShape = Field(description="of the selected questions, beside the plan's")
    cost_usd: Number = Field(description="US dollars spent")
    held_usd: Number = Field(default=0, description="US dollars held for calls that are out, at their worst case")
    per_minute: Number = Field(description="results of the last stage, in the last minute")
    eta_seconds: Number | None = Field(description="seconds that are left; null where nothing tells")
    yield_: Number | None = Field(alias="yield", description="admitted / generated; null before the first reply")


class JobShape(Shape):
    """A job."""

    id: UUID = Field(description="the job's id")
    dataset: str = Field(description="the dataset it works for")
    state: JobState = Field(description="running or paused, or how it ended")
    reason: str | None = Field(description="why it is paused or failed")
    spec: dict[str, object] = Field(
        description="the job spec with nothing left open: models, calls and budget are filled in"
    )
    rehearsal: bool = Field(description="the rehearsal server played the models: nothing was paid")
    plan: PlanShape = Field(description="the newest plan")
    plan_version: int = Field(description="how often it was planned")
    created_at: datetime = Field(description="when it was submitted")
    finished_at: datetime | None = Field(description="when it ended")
    archived_at: datetime | None = Field(description="since when `progress` is a record and its ledger is deleted")
    budget_usd: Number = Field(description="US dollars that it may spend")
    progress: ProgressShape = Field(description="how far it is")


class SummaryShape(Shape):
    """How far a job in a list is."""

    target: int = Field(description="questions that are to be selected")
    done: int = Field(description="through the job's last stage")
    share: float = Field(description="done / target")
    per_minute: Number = Field(description="through the last stage, in the last minute")
    eta_seconds: Number | None = Field(description="seconds that are left; null where nothing tells")
    cost_usd: Number = Field(description="US dollars spent")
    budget_usd: Number = Field(description="US dollars that it may spend")


class JobSummaryShape(Shape):
    """A job in a list."""

    id: UUID = Field(description="the job's id")
    dataset: str = Field(description="the dataset it works for")
    state: JobState = Field(description="running or paused, or how it ended")
    reason: str | None = Field(description="why it is paused or failed")
    rehearsal: bool = Field(description="the rehearsal server played the models: nothing was paid")
    created_at: datetime = Field(description="when it was submitted")
    finished_at: datetime | None = Field(description="when it ended")
    progress: SummaryShape | None = Field(default=None, description="with ?summary=true")


class JobPage(Page):
    """A page of jobs, newest first."""

    items: list[JobSummaryShape] = Field(description="the jobs of this page")


class ResumeBody(BaseModel):
    """What a resume may change."""

    model_config = ConfigDict(extra="forbid")

    budget_usd: Budget | None = Field(
        default=None,
        description="a new budget in US dollars for all of the job, what is spent included; null: as before",
    )


class BudgetBody(BaseModel):
    """A job's new budget."""

    model_config = ConfigDict(extra="forbid")

    budget_usd: Budget = Field(description="US dollars for all of the job, what is spent included")
