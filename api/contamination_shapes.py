"""The documented shapes of what is answered about benchmarks and contaminated questions."""

from datetime import datetime

from pydantic import Field

from api.schemas import LineProblemShape, QuestionShape, Shape
from shared.database.states import MatchKind


class FlaggedCellShape(Shape):
    """How many flagged questions a cell has, by state."""

    domain: str
    difficulty: str
    selected: int
    reserve: int
    discarded: int
    rejected: int


class BenchmarkShape(Shape):
    """A benchmark that guards a dataset, and how many questions it flags."""

    name: str
    source: str | None
    items: int
    loaded_at: datetime
    flagged: dict[MatchKind, int]
    cleared: int = Field(description="false alarms, as a person said")


class ContaminationShape(Shape):
    """The flagged questions of a dataset, counted."""

    left_out: int = Field(description="selected questions that an export leaves out")
    benchmarks: list[BenchmarkShape]
    cells: list[FlaggedCellShape]


class MatchedQuestionShape(QuestionShape):
    """A question and the item that it is like."""

    item: str
    kind: MatchKind
    score: float


class DecontaminatedShape(Shape):
    """What became of a benchmark's file, and what it found in the dataset."""

    dataset: str
    benchmark: str
    source: str | None
    read: int
    items: int
    repeats: int
    invalid: int
    problems: list[LineProblemShape] = Field(description="the first 100")
    fields: dict[str, int] = Field(description='where the questions stood: "question", "prompt", "text" or "line"')
    changed: bool = Field(description="false: these very items were loaded before")
    compared: int
    flagged: dict[MatchKind, int]
    cleared: int
    discarded: int
    left_out: int = Field(description="selected questions that an export leaves out, whichever benchmark flags them")
    cells: list[FlaggedCellShape]
    matches: list[MatchedQuestionShape] = Field(description="the first 100")


class MatchShape(Shape):
    """One benchmark's best match."""

    benchmark: str
    item: str
    kind: MatchKind
    score: float
    cleared_at: datetime | None


class ContaminatedShape(QuestionShape):
    """A question with all that flags it."""

    matches: list[MatchShape]


class ContaminatedPage(Shape):
    """A page of contaminated questions."""

    next_cursor: str | None = Field(description="the `cursor` of the next page; null on the last")
    items: list[ContaminatedShape]
