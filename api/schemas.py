"""The documented shapes of the answers. They describe; the rooms below write them (tests hold the two together)."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.described import DifficultyName, DomainName, Model
from shared.database.states import BatchState, CallState, JobState, QuestionState, Stage, SubmissionState
from shared.jobs.spec_fields import Budget
from shared.settings import MOST_DAYS

Number = float | Decimal


class Shape(BaseModel):
    """An answer; more fields may come."""

    model_config = ConfigDict(extra="allow")


class CellShape(Shape):
    """One domain x one difficulty of a plan."""

    domain: DomainName
    difficulty: DifficultyName
    target: int = Field(description="how many questions the cell is to have selected")
    have: int = Field(description="how many it has, selected or in the reserve")
    selected: int = Field(description="how many of those will count towards the target")
    generate: int = Field(description="the deficit: how many are still to be made")
    surplus: int = Field(description="how many it has beyond its target")


class TotalsShape(Shape):
    """A plan's sums."""

    questions: int = Field(description="targets of all cells")
    by_difficulty: dict[str, int] = Field(description="targets by difficulty")
    tokens_by_difficulty: dict[str, Number] = Field(description="tokens by difficulty, at the mix's means")
    token_shares: dict[str, Number] = Field(description="the share of each difficulty in them")
    generate: int = Field(description="deficits of all cells")


class ForecastShape(Shape):
    """What a plan will take."""

    calls: int = Field(description="of all stages")
    input_tokens: int = Field(description="of all calls")
    output_tokens: int = Field(description="of all calls, reasoning included")
    cost_usd: Number = Field(description="US dollars")
    seconds: Number = Field(description="from start to end, at a usual latency; rate limits can make it longer")


class PlanShape(Shape):
    """The integer target per cell."""

    cells: list[CellShape] = Field(description="in the order of the mix")
    totals: TotalsShape = Field(description="their sums")


class PlannedShape(PlanShape):
    """The answer of POST /v1/plans."""

    forecast: ForecastShape = Field(description="what it will take")
    warnings: list[str] = Field(description="what a person should know before submitting")


class CallCountsShape(Shape):
    """The ledger, counted."""

    sent: int = Field(description="all calls, whatever became of them")
    ok: int = Field(description="those with a paid reply")
    failed: int = Field(description="those that the provider or the network refused, or whose outcome stays unknown")
    retried: int = Field(description="those that repeat a failed one")
    in_flight: int = Field(description="those that are out now")


class TokensShape(Shape):
    """Tokens of the selected questions, by what they are of."""

    prompt: int = Field(description="of the questions")
    completion: int = Field(description="of their first answers")


class TokenSharesShape(Shape):
    """Share of the tokens per difficulty."""

    planned: dict[str, Number] = Field(description="as the plan has them")
    measured: dict[str, Number] = Field(description="of the selected questions, counted")


class StageMoneyShape(Shape):
    """Results, calls and tokens of a stage, and US dollars."""

    questions: int = Field(description="results of the stage")
    calls: int = Field(description="calls of the stage")
    input_tokens: int = Field(description="of those calls")
    output_tokens: int = Field(description="of those calls")
    cost_usd: Number = Field(description="US dollars")


class StageLeftShape(Shape):
    """What a stage has still to do, and what that is expected to cost."""

    questions: int = Field(description="results that are missing")
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
    admitted: int = Field(description="questions that this job has made")
    selected: int = Field(description="questions that count towards a target")
    validated: int = Field(default=0, description="selected questions that their judges accepted")
    answered: int = Field(default=0, description="selected questions that are answered")
    stages: list[StageProgressShape] = Field(default_factory=list, description="in their order")
    rejected: dict[str, int] = Field(description="refused candidates and rejected questions, by reason")
    cells: list[dict[str, object]] = Field(description="each cell with its target and what it has")
    calls: CallCountsShape = Field(description="calls by outcome")
    incidents: dict[str, int] = Field(description="how often a lease ran out, and a stale holder was fenced off")
    tokens: TokensShape = Field(description="of the selected questions")
    token_shares: TokenSharesShape = Field(description="of the selected questions, beside the plan's")
    cost_usd: Number = Field(description="US dollars spent")
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
    plan: PlanShape = Field(description="the newest plan")
    created_at: datetime = Field(description="when it was submitted")
    finished_at: datetime | None = Field(description="when it ended")
    archived_at: datetime | None = Field(description="since when `progress` is a record and its ledger is deleted")
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
    progress: SummaryShape | None = Field(default=None, description="with ?summary=true")


class BatchShape(Shape):
    """A slice of one cell's work."""

    id: UUID = Field(description="the batch's id")
    stage: Stage = Field(description="what it does")
    domain: DomainName
    difficulty: DifficultyName
    state: BatchState = Field(description="free, held, or how it ended")


class CallShape(Shape):
    """A row of the ledger."""

    id: UUID = Field(description="the call's id, sent to the provider as `X-Client-Request-Id`")
    model: Model
    state: CallState = Field(description="out, or how it ended")


class SubmissionShape(Shape):
    """Calls of a batch to one model that are handed in together."""

    id: UUID = Field(description="the bulk submission's id")
    batch_id: UUID = Field(description="the batch whose calls these are")
    model: Model
    state: SubmissionState = Field(description="how far it is")
    requests: int = Field(description="how many calls are in it")
    provider_id: str | None = Field(description="the provider's own id, as soon as it is known")


class _Page(Shape):
    next_cursor: str | None = Field(description="the `cursor` of the next page; null on the last")


class JobPage(_Page):
    """A page of jobs, newest first."""

    items: list[JobSummaryShape] = Field(description="the jobs of this page")


class BatchPage(_Page):
    """A page of batches."""

    items: list[BatchShape] = Field(description="the batches of this page")


class CallPage(_Page):
    """A page of calls."""

    items: list[CallShape] = Field(description="the calls of this page")


class SubmissionPage(_Page):
    """A page of bulk submissions."""

    items: list[SubmissionShape] = Field(description="the bulk submissions of this page")


class LineProblemShape(Shape):
    """A baseline line that was not imported."""

    line: int = Field(description="its number in the file, from 1")
    error: str = Field(description="what is wrong with it")


class ImportShape(Shape):
    """What became of an uploaded baseline."""

    read: int = Field(description="lines that were read")
    imported: int = Field(description="questions that are new in the dataset")
    duplicates: int = Field(description="lines whose question was there, and not imported")
    invalid: int = Field(description="lines that are no question, and not imported")
    near_duplicates: int = Field(description="imported, although near-equal to another")
    contaminated: int = Field(description="imported and flagged: like an item of a benchmark loaded before")
    problems: list[LineProblemShape] = Field(description="the first 100")


class DatasetShape(Shape):
    """A dataset with its counts per cell and state and its token totals."""

    name: str = Field(description="the dataset's name")


class DatasetsShape(Shape):
    """All datasets."""

    items: list[DatasetShape] = Field(description="all datasets, by name")


class QuestionShape(Shape):
    """A question of a dataset."""

    id: int = Field(description="the question's id")
    question: str = Field(description="its text")
    domain: DomainName
    difficulty: DifficultyName
    state: QuestionState = Field(description="what it counts for")
    reason: str | None = Field(default=None, description="why a judge rejected it, or why it has no answer")
    validated: bool = Field(default=False, description="accepted by its judges")
    answered: bool = Field(default=False, description="as often as was asked for")
    completion_tokens: int | None = Field(default=None, description="of its first answer")
    prompt_version: str | None = Field(
        default=None, description="the version of the prompts that it was made with; null for a baseline"
    )


class QuestionPage(_Page):
    """A page of questions."""

    items: list[QuestionShape] = Field(description="the questions of this page")


class DuplicateShape(Shape):
    """Whether a text would be admitted."""

    verdict: str = Field(
        pattern="^(new|exact|near)$", description="`new` would be admitted; `exact` and `near` would be refused"
    )
    question_id: int | None = Field(
        description="the question that it repeats or is most like; null for none, and for another of these texts"
    )
    similarity: float | None = Field(description="Jaccard similarity to that text, from 0 to 1")
    guard: str | None = Field(description="what shows that a similar text is another question, such as its numbers")


# Without U+0000, which no JSON body of ours may hold.
Text = Annotated[str, Field(max_length=50_000, json_schema_extra={"pattern": r"^[^\u0000]*$"})]


class TextsBody(BaseModel):
    """Texts to compare with a dataset and with each other."""

    model_config = ConfigDict(extra="forbid")

    texts: list[Text] = Field(max_length=10_000, description="questions as they would be stored")


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

    jobs: int = Field(description="jobs whose replies these were")
    calls: int = Field(description="calls whose reply was cleared")
    bytes: int = Field(description="size of the replies as they are stored")
    unparsed: int = Field(description="how many of the replies were paid for and never read")


class ArchivedShape(Shape):
    """Jobs whose ledger was deleted; their progress stays."""

    jobs: int = Field(description="jobs that were archived")
    calls: int = Field(description="rows of the ledger that went")
    batches: int = Field(description="batches that went")


class SkippedShape(Shape):
    """A job that is old enough to be archived and was not."""

    job_id: UUID = Field(description="the job")
    reason: str = Field(description="why it was left as it is")


class PrunedShape(Shape):
    """What was pruned, or would be."""

    dry_run: bool = Field(description="whether this only tells what would go")
    raw: RawPrunedShape = Field(description="raw replies")
    archived: ArchivedShape = Field(description="whole ledgers")
    skipped: list[SkippedShape] = Field(description="jobs that were left as they are")


class HealthShape(Shape):
    """Liveness."""

    status: str = Field(description="`alive`")


class ReadyShape(Shape):
    """Readiness, check by check."""

    status: str = Field(description="`ready`, or `unavailable` while the database is away")
    database: str = Field(description="`ok`, or `away:` and why")
    broker: str = Field(description="`ok`, or `degraded`: nothing is lost, and jobs wait")
