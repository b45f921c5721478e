"""The documented shapes of what is answered about a job's search for new questions."""

from uuid import UUID

from pydantic import Field

from api.described import DifficultyName, DomainName
from api.schemas import Number, Shape


class TopicCountsShape(Shape):
    """Topics of a cell by state."""

    open: int = Field(description="asked about in their turn")
    resting: int = Field(description="below the floor; their turn comes again when the others yield as little")
    dry: int = Field(description="hardly anything new came of them lately")


class PoolShape(Shape):
    """What is estimated of the questions that a model has for a cell."""

    known: int = Field(description="questions that came already")
    estimated: int = Field(description="at least so many in all, by capture and recapture")
    left: int = Field(description="estimated less known")


class CellNoveltyShape(Shape):
    """How one cell still finds new questions."""

    domain: DomainName
    difficulty: DifficultyName
    generated: int = Field(description="candidates that were parsed")
    admitted: int = Field(description="those that became questions")
    yield_: Number | None = Field(alias="yield", description="admitted / generated; null before the first reply")
    expected_yield: Number = Field(description="of the next prompts")
    over_asking: Number = Field(description="so many questions are asked for, for each one that is missing")
    prompts_taken: int = Field(description="prompt tuples that the dataset has used up")
    distinct_prompts: int | None = Field(description="tuples of topic, subtopic, form and setting")
    floor: Number | None = Field(description="the recent yield below which a topic rests now")
    topics: TopicCountsShape | None = Field(description="null for a job that is not steered")
    pool: PoolShape | None = Field(description="null while hardly anything has come again")
    stopped: str | None = Field(description="why the cell can yield no more; null: it can")


class NoveltyShape(Shape):
    """How a job still finds new questions, cell by cell."""

    job_id: UUID = Field(description="the job")
    steered: bool = Field(description="whether topics that run dry rest: `novelty.steer` of its spec")
    cells: list[CellNoveltyShape] = Field(description="each cell of the job")


class TopicShape(Shape):
    """How one topic has fared in a cell."""

    topic: str = Field(description="the topic's name in the atlas")
    state: str = Field(pattern="^(open|resting|dry)$", description="whether it is asked about now")
    generated: int = Field(description="candidates that were parsed")
    admitted: int = Field(description="those that became questions")
    recent_yield: Number | None = Field(description="admitted / generated of its last candidates")
    estimated: int | None = Field(description="questions of this topic, at least")


class TopicsShape(Shape):
    """The topics of a cell; none for a job that is not steered."""

    items: list[TopicShape] = Field(description="those that yield least first")
