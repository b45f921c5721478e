"""The documented shapes of what is answered about a job's search for new questions."""

from uuid import UUID

from pydantic import Field

from api.schemas import Number, Shape


class TopicCountsShape(Shape):
    """Topics of a cell by state."""

    open: int = Field(description="asked about in their turn")
    resting: int = Field(description="below the floor; their turn comes again when the others yield as little")
    dry: int = Field(description="hardly anything new came of them lately")


class PoolShape(Shape):
    """What is estimated of the questions that a model has for a cell."""

    known: int
    estimated: int = Field(description="at least so many in all, by capture and recapture")
    left: int


class CellNoveltyShape(Shape):
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


class NoveltyShape(Shape):
    """How a job still finds new questions, cell by cell."""

    job_id: UUID
    steered: bool
    cells: list[CellNoveltyShape]


class TopicShape(Shape):
    """How one topic has fared in a cell."""

    topic: str
    state: str = Field(pattern="^(open|resting|dry)$")
    generated: int
    admitted: int
    recent_yield: Number | None
    estimated: int | None = Field(description="questions of this topic, at least")


class TopicsShape(Shape):
    """The topics of a cell; none for a job that is not steered."""

    items: list[TopicShape]
