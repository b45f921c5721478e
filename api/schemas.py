"""The documented shapes of the answers. They describe; the rooms below write them (tests hold the two together)."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.database.states import BatchState, CallState, JobState, QuestionState, Stage, SubmissionState
from shared.jobs.spec_fields import Budget
from shared.settings import MOST_DAYS

Number = float | Decimal


class Shape(BaseModel):
    """An answer; more fields may come."""

    model_config = ConfigDict(extra="allow")


class CellShape(Shape):
    """One domain x one difficulty of a plan."""

    domain: str
    difficulty: str
    target: int
    have: int
    selected: int
    generate: int
    surplus: int


class TotalsShape(Shape):
    """A plan's sums."""

    questions: int
    by_difficulty: dict[str, int]
    tokens_by_difficulty: dict[str, Number]
    token_shares: dict[str, Number]
    generate: int


class ForecastShape(Shape):
    """What a plan will take."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Number
    seconds: Number


class PlanShape(Shape):
    """The integer target per cell."""

    cells: list[CellShape]
    totals: TotalsShape


class PlannedShape(PlanShape):
    """The answer of POST /v1/plans."""

    forecast: ForecastShape
    warnings: list[str]


class CallCountsShape(Shape):
    """The ledger, counted."""

    sent: int
    ok: int
    failed: int
    retried: int
    in_flight: int


class TokensShape(Shape):
    """Tokens of the selected questions, by what they are of."""

    prompt: int
    completion: int


class TokenSharesShape(Shape):
    """Share of the tokens per difficulty."""

    planned: dict[str, Number]
    measured: dict[str, Number]


class StageMoneyShape(Shape):
    """Results, calls and tokens of a stage, and US dollars."""

    questions: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Number


class StageLeftShape(Shape):
    """What a stage has still to do, and what that is expected to cost."""

    questions: int
    cost_usd: Number


class StageProgressShape(Shape):
    """One stage of a job: what it dealt with, and its money beside what was forecast."""

    stage: Stage
    judged: int
    passed: int
    forecast: StageMoneyShape | None
    actual: StageMoneyShape
    left: StageLeftShape


class ProgressShape(Shape):
    """How far a job is, counted from rows."""

    target: int
    admitted: int
    selected: int
    validated: int = 0
    answered: int = 0
    stages: list[StageProgressShape] = Field(default_factory=list, description="in their order")
    rejected: dict[str, int]
    cells: list[dict[str, object]]
    calls: CallCountsShape
    incidents: dict[str, int] = Field(description="how often a lease ran out, and a stale holder was fenced off")
    tokens: TokensShape
    token_shares: TokenSharesShape
    cost_usd: Number
    per_minute: Number
    eta_seconds: Number | None
    yield_: Number | None = Field(alias="yield")


class JobShape(Shape):
    """A job."""

    id: UUID
    dataset: str
    state: JobState
    reason: str | None
    spec: dict[str, object]
    plan: PlanShape
    created_at: datetime
    finished_at: datetime | None
    archived_at: datetime | None = Field(description="since when `progress` is a record and its ledger is deleted")
    progress: ProgressShape


class SummaryShape(Shape):
    """How far a job in a list is."""

    target: int
    done: int = Field(description="through the job's last stage")
    share: float
    per_minute: Number = Field(description="through the last stage, in the last minute")
    eta_seconds: Number | None
    cost_usd: Number
    budget_usd: Number


class JobSummaryShape(Shape):
    """A job in a list."""

    id: UUID
    dataset: str
    state: JobState
    progress: SummaryShape | None = Field(default=None, description="with ?summary=true")


class BatchShape(Shape):
    """A slice of one cell's work."""

    id: UUID
    stage: Stage
    domain: str
    difficulty: str
    state: BatchState


class CallShape(Shape):
    """A row of the ledger."""

    id: UUID
    model: str
    state: CallState


class SubmissionShape(Shape):
    """Calls of a batch to one model that are handed in together."""

    id: UUID
    batch_id: UUID
    model: str
    state: SubmissionState
    requests: int
    provider_id: str | None = Field(description="the provider's own id, as soon as it is known")


class _Page(Shape):
    next_cursor: str | None = Field(description="the `cursor` of the next page; null on the last")


class JobPage(_Page):
    """A page of jobs, newest first."""

    items: list[JobSummaryShape]


class BatchPage(_Page):
    """A page of batches."""

    items: list[BatchShape]


class CallPage(_Page):
    """A page of calls."""

    items: list[CallShape]


class SubmissionPage(_Page):
    """A page of bulk submissions."""

    items: list[SubmissionShape]


class LineProblemShape(Shape):
    """A baseline line that was not imported."""

    line: int
    error: str


class ImportShape(Shape):
    """What became of an uploaded baseline."""

    read: int
    imported: int
    duplicates: int
    invalid: int
    near_duplicates: int
    contaminated: int = Field(description="imported and flagged: like an item of a benchmark loaded before")
    problems: list[LineProblemShape] = Field(description="the first 100")


class DatasetShape(Shape):
    """A dataset with its counts per cell and state and its token totals."""

    name: str


class DatasetsShape(Shape):
    """All datasets."""

    items: list[DatasetShape]


class QuestionShape(Shape):
    """A question of a dataset."""

    id: int
    question: str
    domain: str
    difficulty: str
    state: QuestionState
    reason: str | None = Field(default=None, description="why a judge rejected it, or why it has no answer")
    validated: bool = Field(default=False, description="accepted by its judges")
    answered: bool = Field(default=False, description="as often as was asked for")
    completion_tokens: int | None = Field(default=None, description="of its first answer")
    prompt_version: str | None = None


class QuestionPage(_Page):
    """A page of questions."""

    items: list[QuestionShape]


class DuplicateShape(Shape):
    """Whether a text would be admitted."""

    verdict: str = Field(pattern="^(new|exact|near)$")
    question_id: int | None
    similarity: float | None
    guard: str | None


# Without U+0000, which no JSON body of ours may hold.
Text = Annotated[str, Field(max_length=50_000, json_schema_extra={"pattern": r"^[^\u0000]*$"})]


class TextsBody(BaseModel):
    """Texts to compare with a dataset and with each other."""

    model_config = ConfigDict(extra="forbid")

    texts: list[Text] = Field(max_length=10_000)


class ResumeBody(BaseModel):
    """What a resume may change."""

    model_config = ConfigDict(extra="forbid")

    budget_usd: Budget | None = None


class BudgetBody(BaseModel):
    """A job's new budget."""

    model_config = ConfigDict(extra="forbid")

    budget_usd: Budget


class PruneBody(BaseModel):
    """What to prune of jobs that have ended. Ages are days since the job's end."""

    model_config = ConfigDict(extra="forbid", strict=True)

    raw_days: int | None = Field(
        default=None, ge=0, le=MOST_DAYS, description="clear raw replies beyond this age; null: QUESTMILL_RAW_DAYS"
    )
    ledger_days: int | None = Field(
        default=None,
        ge=0,
        le=MOST_DAYS,
        description="archive beyond this age, at least raw_days; null: QUESTMILL_LEDGER_DAYS",
    )
    dry_run: bool = Field(default=False, description="count only")


class RawPrunedShape(Shape):
    """Raw replies that were cleared, with the texts refused of them."""

    jobs: int
    calls: int
    bytes: int
    unparsed: int = Field(description="how many of the replies were paid for and never read")


class ArchivedShape(Shape):
    """Jobs whose ledger was deleted; their progress stays."""

    jobs: int
    calls: int
    batches: int


class SkippedShape(Shape):
    """A job that is old enough to be archived and was not."""

    job_id: UUID
    reason: str


class PrunedShape(Shape):
    """What was pruned, or would be."""

    dry_run: bool
    raw: RawPrunedShape
    archived: ArchivedShape
    skipped: list[SkippedShape]


class HealthShape(Shape):
    """Liveness."""

    status: str


class ReadyShape(Shape):
    """Readiness, check by check."""

    status: str
    database: str
    broker: str
