"""The documented shapes of what is answered about benchmarks and contaminated questions."""

from datetime import datetime

from pydantic import Field

from api.described import DifficultyName, DomainName
from api.schemas import LineProblemShape, QuestionShape, Shape
from shared.database.states import MatchKind


class FlaggedCellShape(Shape):
    """How many flagged questions a cell has, by state."""

    domain: DomainName
    difficulty: DifficultyName
    selected: int = Field(description="flagged and selected")
    reserve: int = Field(description="flagged, in the reserve")
    discarded: int = Field(description="flagged, taken out by hand")
    rejected: int = Field(description="flagged, rejected by judges")


class BenchmarkShape(Shape):
    """A benchmark that guards a dataset, and how many questions it flags."""

    name: str = Field(description="what the benchmark is called here")
    source: str | None = Field(description="where its file came from, if that was said")
    items: int = Field(description="distinct items that it has")
    loaded_at: datetime = Field(description="when it was loaded")
    flagged: dict[MatchKind, int] = Field(description="questions that it flags, by how they are like an item")
    cleared: int = Field(description="false alarms, as a person said")


class ContaminationShape(Shape):
    """The flagged questions of a dataset, counted."""

    left_out: int = Field(description="selected questions that an export leaves out")
    benchmarks: list[BenchmarkShape] = Field(description="those that guard the dataset")
    cells: list[FlaggedCellShape] = Field(description="those with flagged questions")


class MatchedQuestionShape(QuestionShape):
    """A question and the item that it is like."""

    item: str = Field(description="its item: an id, or a line of its file")
    kind: MatchKind = Field(description="how the two are alike")
    score: float = Field(description="how like it is, from 0 to 1")


class DecontaminatedShape(Shape):
    """What became of a benchmark's file, and what it found in the dataset."""

    dataset: str = Field(description="the dataset that was compared")
    benchmark: str = Field(description="what the benchmark is called here")
    source: str | None = Field(description="where its file came from, if that was said")
    read: int = Field(description="lines that were read")
    items: int = Field(description="distinct items")
    repeats: int = Field(description="lines that repeat an item")
    invalid: int = Field(description="lines that hold no question")
    problems: list[LineProblemShape] = Field(description="the first 100")
    fields: dict[str, int] = Field(description='where the questions stood: "question", "prompt", "text" or "line"')
    changed: bool = Field(description="false: these very items were loaded before")
    compared: int = Field(description="questions of the dataset that were compared")
    flagged: dict[MatchKind, int] = Field(description="questions that it flags, by how they are like an item")
    cleared: int = Field(description="questions that it would flag, but for a person's word")
    discarded: int = Field(description="flagged questions that were taken out now")
    left_out: int = Field(description="selected questions that an export leaves out, whichever benchmark flags them")
    left_out_by: dict[str, int] = Field(description="how many of them each benchmark flags")
    cells: list[FlaggedCellShape] = Field(description="those with flagged questions")
    matches: list[MatchedQuestionShape] = Field(description="the first 100")


class MatchShape(Shape):
    """One benchmark's best match."""

    benchmark: str = Field(description="the benchmark")
    item: str = Field(description="its item: an id, or a line of its file")
    kind: MatchKind = Field(description="how the two are alike")
    score: float = Field(description="how like it is, from 0 to 1")
    cleared_at: datetime | None = Field(description="when a person called it a false alarm; null: it counts")


class ContaminatedShape(QuestionShape):
    """A question with all that flags it."""

    matches: list[MatchShape] = Field(description="the best match with each benchmark")


class ContaminatedPage(Shape):
    """A page of contaminated questions."""

    next_cursor: str | None = Field(description="the `cursor` of the next page; null on the last")
    items: list[ContaminatedShape] = Field(description="the questions of this page")
