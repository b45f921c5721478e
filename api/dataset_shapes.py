"""The documented shapes of datasets: in a list, and one with all its counts."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.contamination_shapes import ContaminationShape
from api.described import DifficultyName, DomainName
from api.job_shapes import TokensShape
from api.schemas import Shape
from shared.database.states import JobState, QuestionState


class ListedDatasetShape(Shape):
    """A dataset in a list."""

    name: str = Field(description="the dataset's name")
    created_at: datetime = Field(description="when it was made, by its first job or import")
    questions: int = Field(description="how many it has, whatever their state")
    selected: int = Field(description="how many of them count towards a target")
    unfinished_job: UUID | None = Field(description="the one job that may be working for it")


class DatasetsShape(Shape):
    """All datasets."""

    items: list[ListedDatasetShape] = Field(description="by name")


class DatasetCellShape(Shape):
    """The questions of one cell, counted."""

    domain: DomainName
    difficulty: DifficultyName
    selected: int = Field(description="count towards the target")
    reserve: int = Field(description="kept beyond the target")
    discarded: int = Field(description="taken out by hand")
    rejected: int = Field(description="by judges, or because no model answered")
    validated: int = Field(description="selected, and accepted by their judges")
    answered: int = Field(description="selected, and answered as often as was asked for")
    prompt_tokens: int = Field(description="of the selected questions")
    completion_tokens: int = Field(description="of their first answers")


class DatasetJobShape(Shape):
    """A job that worked for a dataset."""

    id: UUID = Field(description="the job's id")
    state: JobState = Field(description="running or paused, or how it ended")
    created_at: datetime = Field(description="when it was submitted")


class DatasetShape(Shape):
    """A dataset with its counts per cell and state and its token totals."""

    name: str = Field(description="the dataset's name")
    created_at: datetime = Field(description="when it was made, by its first job or import")
    cells: list[DatasetCellShape] = Field(description="each cell that has questions")
    questions: dict[QuestionState, int] = Field(description="how many, by state")
    tokens: TokensShape = Field(description="of the selected questions")
    jobs: list[DatasetJobShape] = Field(description="newest first")
    contamination: ContaminationShape = Field(description="what benchmarks flag")
