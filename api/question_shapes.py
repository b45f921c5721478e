"""The documented shapes of questions with all that is known of them: one, and a sample of a dataset."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas import Number, QuestionShape, Shape
from shared.database.states import CallState, Stage


class CallRecordShape(Shape):
    """The call that brought a question; null once its job's ledger is archived."""

    id: UUID
    stage: Stage
    model: str
    prompt: dict[str, object] = Field(description="the prompt tuple and the version of the wording")
    state: CallState
    outcome: str | None
    raw: str | None = Field(description="the reply as it came; null once pruned")
    raw_pruned_at: datetime | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Number | None = Field(description="of the whole call")


class _ResultShape(Shape):
    model: str
    prompt_version: str
    call_id: UUID
    created_at: datetime
    cost_usd: Number | None = Field(description="of the whole call; null once the ledger is archived")
    call_questions: int | None = Field(description="how many questions the call was about")


class VerdictShape(_ResultShape):
    """What one judge said of a question."""

    vote: int
    scores: dict[str, int] = Field(description="1 to 5 by criterion")
    accepted: bool
    reason: str


class AnswerShape(_ResultShape):
    """One answer to a question."""

    sample: int
    text: str
    tokens: int
    checked: dict[str, str] | None = Field(description="the check that it passed; null where nothing can be checked")


class ProvenanceShape(QuestionShape):
    """A question with all that is kept of how it came about."""

    call: CallRecordShape | None
    verdicts: list[VerdictShape]
    answers: list[AnswerShape]


class SampledVerdictShape(Shape):
    """A judge's word in a sample."""

    model: str
    vote: int
    accepted: bool
    scores: dict[str, int]
    reason: str


class CostSharesShape(Shape):
    """A question's share of the calls that brought it and its results, in dollars; null where they are archived."""

    generate: Number | None
    validate_: Number | None = Field(alias="validate")
    answer: Number | None
    total: Number | None


class SampledQuestionShape(QuestionShape):
    """A question as a person wants to see it."""

    topic: str | None
    verdict: str | None = Field(pattern="^(accepted|rejected)$")
    scores: dict[str, float | None] | None = Field(description="the mean of its verdicts by criterion")
    verdicts: list[SampledVerdictShape]
    answer: str | None
    answer_model: str | None
    answer_count: int = Field(description="how many answers there are; the first is shown")
    cost_usd: CostSharesShape


class SampleShape(Shape):
    """Questions drawn at random."""

    dataset: str
    seed: int = Field(description="draws the same again")
    among: int = Field(description="how many questions were to draw from")
    items: list[SampledQuestionShape]
