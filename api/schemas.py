"""The documented shapes of answers. They describe; the rooms below write them (tests hold the two together).

Here are those of plans, questions, imports and pruning; others stand in files named after what is answered.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.described import DifficultyName, DomainName
from shared.database.states import QuestionState, Stage
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
    mean_tokens: Number = Field(description="what the mix balances, of one of its questions on average")


class PlannedCellShape(CellShape):
    """A cell of a plan that is only being looked at."""

    distinct_prompts: int = Field(description="how many prompts its atlas has for it")


class TotalsShape(Shape):
    """A plan's sums."""

    questions: int = Field(description="targets of all cells")
    by_difficulty: dict[str, int] = Field(description="targets by difficulty")
    tokens_by_difficulty: dict[str, Number] = Field(description="tokens by difficulty, at the mix's means")
    token_shares: dict[str, Number] = Field(description="the share of each difficulty in them")
    generate: int = Field(description="deficits of all cells")


class StageLeftShape(Shape):
    """Results of a stage that are still to come, and what they are expected to cost."""

    questions: int = Field(description="results that are missing")
    cost_usd: Number = Field(description="US dollars")


class StageForecastShape(Shape):
    """What one stage will take."""

    stage: Stage = Field(description="which stage")
    questions: int = Field(description="results of the stage")
    calls: int = Field(description="calls of the stage")
    input_tokens: int = Field(description="of those calls")
    output_tokens: int = Field(description="of those calls, reasoning included")
    cost_usd: Number = Field(description="US dollars")
    by_difficulty: dict[str, StageLeftShape] = Field(description="results and US dollars of each difficulty")


class ForecastShape(Shape):
    """What a plan will take."""

    calls: int = Field(description="of all stages")
    input_tokens: int = Field(description="of all calls")
    output_tokens: int = Field(description="of all calls, reasoning included")
    cost_usd: Number = Field(description="US dollars")
    seconds: Number = Field(description="from start to end, at a usual latency; rate limits can make it longer")
    stages: list[StageForecastShape] = Field(description="in their order")


class PlanShape(Shape):
    """The integer target per cell."""

    cells: Sequence[CellShape] = Field(description="in the order of the mix")
    totals: TotalsShape = Field(description="their sums")
    forecast: ForecastShape | None = Field(
        default=None, description="the first one; null for a job of an older release"
    )


class PlannedShape(PlanShape):
    """The answer of POST /v1/plans."""

    cells: Sequence[PlannedCellShape] = Field(description="in the order of the mix")
    forecast: ForecastShape = Field(description="what it will take")
    spec: dict[str, object] = Field(
        description="the job spec with nothing left open: models, calls and budget are filled in"
    )
    rehearsal: bool = Field(description="the rehearsal server will play the models: nothing is paid")
    warnings: list[str] = Field(description="what a person should know before submitting")


class Page(Shape):
    """Where the next page is."""

    next_cursor: str | None = Field(description="the `cursor` of the next page; null on the last")


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
    tags: list[str] = Field(default_factory=list, description="what its prompt was about, or what a baseline said")
    prompt_tokens: int | None = Field(default=None, description="tokens of its text")
    tokenizer: str | None = Field(default=None, description="what they are counted with")
    source: str | None = Field(default=None, description="the id of its job, or `baseline`")
    model: str | None = Field(default=None, description="who made it; null for a baseline")
    rehearsal: bool = Field(default=False, description="the rehearsal server played that model")
    batch_id: UUID | None = Field(default=None, description="the batch that brought it")
    call_id: UUID | None = Field(default=None, description="the call that brought it")
    created_at: datetime | None = Field(default=None, description="when it was admitted or imported")
    metadata: dict[str, object] | None = Field(default=None, description="what its line of a baseline held besides")
    prompt_version: str | None = Field(
        default=None, description="the version of the prompts that it was made with; null for a baseline"
    )


class QuestionPage(Page):
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


Text = Annotated[str, Field(max_length=50_000)]


class TextsBody(BaseModel):
    """Texts to compare with a dataset and with each other."""

    model_config = ConfigDict(extra="forbid")

    texts: list[Text] = Field(max_length=10_000, description="questions as they would be stored")


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
