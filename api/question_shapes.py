"""The documented shapes of questions with all that is known of them: one, and a sample of a dataset."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.described import Model
from api.schemas import Number, QuestionShape, Shape
from shared.database.states import CallState, Stage


class CallRecordShape(Shape):
    """The call that brought a question; null once its job's ledger is archived."""

    id: UUID = Field(description="the call's id")
    job_id: UUID = Field(description="its job")
    batch_id: UUID = Field(description="its batch")
    stage: Stage = Field(description="the stage of its batch")
    model: Model
    prompt: dict[str, object] = Field(description="the prompt tuple and the version of the wording")
    state: CallState = Field(description="out, or how it ended")
    outcome: str | None = Field(description="how it ended, such as `ok` or `cut`")
    detail: str | None = Field(description="what the provider or the network said")
    finish_reason: str | None = Field(description="why the model stopped, in the provider's word")
    request_id: str | None = Field(description="the provider's own id")
    raw: str | None = Field(description="the reply as it came; null once pruned")
    raw_pruned_at: datetime | None = Field(description="when the raw reply was pruned")
    input_tokens: int | None = Field(description="as the provider counted them")
    cached_tokens: int | None = Field(description="those of them that it had cached")
    output_tokens: int | None = Field(description="as the provider counted them, reasoning included")
    reasoning_tokens: int | None = Field(description="those of them that were reasoning")
    cost_usd: Number | None = Field(description="of the whole call")
    sent_at: datetime = Field(description="when it was written to the ledger, just before it was sent")
    settled_at: datetime | None = Field(description="when its reply was stored, or its failure known")
    parsed_at: datetime | None = Field(description="when its reply was parsed")
    generated: int | None = Field(description="candidates found in its reply")
    admitted: int | None = Field(description="how many of them went on")


class _ResultShape(Shape):
    model: Model
    prompt_version: str = Field(description="the version of the prompts that it was made with")
    call_id: UUID = Field(description="the call that brought it")
    job_id: UUID = Field(description="the job of that call")
    created_at: datetime = Field(description="when it was stored")
    cost_usd: Number | None = Field(description="of the whole call; null once the ledger is archived")
    call_questions: int | None = Field(description="how many questions the call was about")


class VerdictShape(_ResultShape):
    """What one judge said of a question."""

    vote: int = Field(description="which of the question's votes it is")
    scores: dict[str, int] = Field(description="1 to 5 by criterion")
    accepted: bool = Field(description="whether every criterion is met")
    reason: str = Field(description="in the judge's words")


class AnswerShape(_ResultShape):
    """One answer to a question."""

    sample: int = Field(description="which of the model's answers it is")
    text: str = Field(description="the answer")
    tokens: int = Field(description="its tokens, by the dataset's tokenizer")
    checked: dict[str, str] | None = Field(description="the check that it passed; null where nothing can be checked")


class ProvenanceShape(QuestionShape):
    """A question with all that is kept of how it came about."""

    call: CallRecordShape | None = Field(description="the call that brought it; null for a baseline")
    verdicts: list[VerdictShape] = Field(description="what each judge said")
    answers: list[AnswerShape] = Field(description="the first one is exported")


class SampledVerdictShape(Shape):
    """A judge's word in a sample."""

    model: Model
    vote: int = Field(description="which of the question's votes it is")
    accepted: bool = Field(description="whether every criterion is met")
    scores: dict[str, int] = Field(description="1 to 5 by criterion")
    reason: str = Field(description="in the judge's words")


class CostSharesShape(Shape):
    """A question's share of the calls that brought it and its results, in dollars; null where they are archived."""

    generate: Number | None = Field(description="its share of the call that brought it")
    validate_: Number | None = Field(alias="validate", description="its share of its verdicts' calls")
    answer: Number | None = Field(description="its share of its answers' calls")
    total: Number | None = Field(description="their sum; null where one of them is")


class SampledQuestionShape(QuestionShape):
    """A question as a person wants to see it."""

    topic: str | None = Field(description="what its prompt was about")
    verdict: str | None = Field(
        pattern="^(accepted|rejected)$", description="of all its votes; null while they are not in"
    )
    scores: dict[str, float | None] | None = Field(description="the mean of its verdicts by criterion")
    verdicts: list[SampledVerdictShape] = Field(description="what each judge said")
    answer: str | None = Field(description="its first answer")
    answer_model: str | None = Field(description="who gave it")
    answer_version: str | None = Field(description="the version of the prompts that it was made with")
    answer_call_id: UUID | None = Field(description="the call that brought it")
    checked: dict[str, str] | None = Field(description="the check that it passed; null where nothing can be checked")
    answer_count: int = Field(description="how many answers there are; the first is shown")
    cost_usd: CostSharesShape = Field(description="US dollars")


class SampleShape(Shape):
    """Questions drawn at random."""

    dataset: str = Field(description="the dataset's name")
    seed: int = Field(description="draws the same again")
    among: int = Field(description="how many questions were to draw from")
    items: list[SampledQuestionShape] = Field(description="in the order in which they were drawn")
