"""The documented shapes of the answers. They describe; the rooms below write them (tests hold the two together)."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.database.states import BatchState, CallState, JobState, QuestionState, Stage
from shared.settings import MOST_DAYS

Number = float | Decimal


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class CellShape(_Shape):
    """One domain x one difficulty of a plan."""

    domain: str
    difficulty: str
    target: int
    have: int
    selected: int
    generate: int
    surplus: int


class TotalsShape(_Shape):
    """A plan's sums."""

    questions: int
    by_difficulty: dict[str, int]
    tokens_by_difficulty: dict[str, Number]
    token_shares: dict[str, Number]
    generate: int


class ForecastShape(_Shape):
    """What a plan will take."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Number
    seconds: Number


class PlanShape(_Shape):
    """The integer target per cell."""

    cells: list[CellShape]
    totals: TotalsShape


class PlannedShape(PlanShape):
    """The answer of POST /v1/plans."""

    forecast: ForecastShape
    warnings: list[str]


class CallCountsShape(_Shape):
    """The ledger, counted."""

    sent: int
    ok: int
    failed: int
    retried: int
    in_flight: int


class TokensShape(_Shape):
    """Tokens of the selected questions, by what they are of."""

    prompt: int
    completion: int


class TokenSharesShape(_Shape):
    """Share of the tokens per difficulty."""

    planned: dict[str, Number]
    measured: dict[str, Number]


class ProgressShape(_Shape):
    """How far a job is, counted from rows."""

    target: int
    admitted: int
    selected: int
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


class JobShape(_Shape):
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


class JobSummaryShape(_Shape):
    """A job in a list."""

    id: UUID
    dataset: str
    state: JobState


class BatchShape(_Shape):
    """A slice of one cell's work."""

    id: UUID
    stage: Stage
    domain: str
    difficulty: str
    state: BatchState


class CallShape(_Shape):
    """A row of the ledger."""

    id: UUID
    model: str
    state: CallState


class TopicCountsShape(_Shape):
    """Topics of a cell by state."""

    open: int = Field(description="asked about in their turn")
    resting: int = Field(description="below the floor; their turn comes again when the others yield as little")
    dry: int = Field(description="hardly anything new came of them lately")


class PoolShape(_Shape):
    """What is estimated of the questions that a model has for a cell."""

    known: int
    estimated: int = Field(description="at least so many in all, by capture and recapture")
    left: int


class CellNoveltyShape(_Shape):
    """How one cell still finds new questions."""

    domain: str
    difficulty: str
    generated: int
    admitted: int
    yield_: Number | None = Field(alias="yield")
    expected_yield: Number = Field(description="of the next prompts")
    over_asking: Number = Field(description="so many questions are asked for, for each one that is missing")
    prompts_taken: int
    distinct_prompts: int | None = Field(description="tuples of topic, subtopic, form and setting")
    floor: Number | None = Field(description="the recent yield below which a topic rests now")
    topics: TopicCountsShape | None
    pool: PoolShape | None = Field(description="null while hardly anything has come again")
    stopped: str | None


class NoveltyShape(_Shape):
    """How a job still finds new questions, cell by cell."""

    job_id: UUID
    steered: bool
    cells: list[CellNoveltyShape]


class TopicShape(_Shape):
    """How one topic has fared in a cell."""

    topic: str
    state: str = Field(pattern="^(open|resting|dry)$")
    generated: int
    admitted: int
    recent_yield: Number | None
    estimated: int | None = Field(description="questions of this topic, at least")


class TopicsShape(_Shape):
    """The topics of a cell; none for a job that is not steered."""

    items: list[TopicShape]


class _Page(_Shape):
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


class LineProblemShape(_Shape):
    """A baseline line that was not imported."""

    line: int
    error: str


class ImportShape(_Shape):
    """What became of an uploaded baseline."""

    read: int
    imported: int
    duplicates: int
    invalid: int
    near_duplicates: int
    contaminated: int = Field(description="imported and flagged: like an item of a benchmark loaded before")
    problems: list[LineProblemShape] = Field(description="the first 100")


class DatasetShape(_Shape):
    """A dataset with its counts per cell and state and its token totals."""

    name: str


class DatasetsShape(_Shape):
    """All datasets."""

    items: list[DatasetShape]


class QuestionShape(_Shape):
    """A question of a dataset."""

    id: int
    question: str
    domain: str
    difficulty: str
    state: QuestionState


class QuestionPage(_Page):
    """A page of questions."""

    items: list[QuestionShape]


class DuplicateShape(_Shape):
    """Whether a text would be admitted."""

    verdict: str = Field(pattern="^(new|exact|near)$")
    question_id: int | None
    similarity: float | None
    guard: str | None


class PhaseShape(_Shape):
    """How far a report is."""

    phase: str = Field(pattern="^(reading|pairing|comparing)$")
    done: int
    total: int


class NearPairsShape(_Shape):
    """Pairs whose texts were compared, and those that are near."""

    compared: int
    near: int


class NearReportShape(_Shape):
    """The near-duplicates of a dataset, counted."""

    dataset: str
    questions: int
    pairs: NearPairsShape
    in_clusters: int = Field(description="questions that are in a cluster")
    clusters: int
    largest: int = Field(description="questions in the largest cluster")
    cells: list[dict[str, str | int]] = Field(description="questions in clusters by domain and difficulty")
    sources: list[dict[str, str | int]] = Field(description="questions in clusters by job, or `baseline`")
    told_apart: dict[str, int] = Field(description="similar pairs that are different questions, by what showed it")
    too_long: int = Field(description="pairs that were not compared because a text is too long")


class NearMemberShape(_Shape):
    """A question of a cluster; a long text is shown without its middle."""

    id: int
    domain: str
    difficulty: str
    state: QuestionState
    source: str
    similarity: float = Field(description="to the cluster's first; lower than what is near where others lie between")
    text: str


class NearClusterShape(_Shape):
    """Questions that are near-duplicates, directly or through others."""

    size: int
    members: list[NearMemberShape] = Field(description="the first 50")


class NearEndShape(_Shape):
    """The last line: without it the report is not whole."""

    clusters: int = Field(description="how many were shown")


class NearLineShape(_Shape):
    """One line of the report; it has one of these."""

    progress: PhaseShape | None = None
    report: NearReportShape | None = None
    cluster: NearClusterShape | None = None
    end: NearEndShape | None = None


class TextsBody(BaseModel):
    """Texts to compare with a dataset and with each other."""

    model_config = ConfigDict(extra="forbid")

    texts: list[Annotated[str, Field(max_length=50_000)]] = Field(max_length=10_000)


class ResumeBody(BaseModel):
    """What a resume may change."""

    model_config = ConfigDict(extra="forbid")

    budget_usd: Decimal | None = Field(default=None, ge=0, le=10_000_000, allow_inf_nan=False)


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


class RawPrunedShape(_Shape):
    """Raw replies that were cleared, with the texts refused of them."""

    jobs: int
    calls: int
    bytes: int
    unparsed: int = Field(description="how many of the replies were paid for and never read")


class ArchivedShape(_Shape):
    """Jobs whose ledger was deleted; their progress stays."""

    jobs: int
    calls: int
    batches: int


class SkippedShape(_Shape):
    """A job that is old enough to be archived and was not."""

    job_id: UUID
    reason: str


class PrunedShape(_Shape):
    """What was pruned, or would be."""

    dry_run: bool
    raw: RawPrunedShape
    archived: ArchivedShape
    skipped: list[SkippedShape]


class HealthShape(_Shape):
    """Liveness."""

    status: str


class ReadyShape(_Shape):
    """Readiness, check by check."""

    status: str
    database: str
    broker: str
