"""The documented shapes of the lines in which a dataset's near-duplicates are reported."""

from pydantic import Field

from api.described import DifficultyName, DomainName
from api.schemas import Shape
from shared.database.states import QuestionState


class PhaseShape(Shape):
    """How far a report is."""

    phase: str = Field(pattern="^(reading|pairing|comparing)$", description="what is done now")
    done: int = Field(description="so much of it is done")
    total: int = Field(description="so much there is of it")


class NearPairsShape(Shape):
    """Pairs whose texts were compared, and those that are near."""

    compared: int = Field(description="pairs that share a band of the index")
    near: int = Field(description="pairs that are near-duplicates")


class NearReportShape(Shape):
    """The near-duplicates of a dataset, counted."""

    dataset: str = Field(description="the dataset's name")
    questions: int = Field(description="how many it has, whatever their state")
    pairs: NearPairsShape = Field(description="what was compared")
    in_clusters: int = Field(description="questions that are in a cluster")
    clusters: int = Field(description="how many there are")
    largest: int = Field(description="questions in the largest cluster")
    cells: list[dict[str, str | int]] = Field(description="questions in clusters by domain and difficulty")
    sources: list[dict[str, str | int]] = Field(description="questions in clusters by job, or `baseline`")
    told_apart: dict[str, int] = Field(description="similar pairs that are different questions, by what showed it")
    too_long: int = Field(description="pairs that were not compared because a text is too long")


class NearMemberShape(Shape):
    """A question of a cluster; a long text is shown without its middle."""

    id: int = Field(description="the question's id")
    domain: DomainName
    difficulty: DifficultyName
    state: QuestionState = Field(description="what it counts for")
    source: str = Field(description="the id of its job, or `baseline`")
    similarity: float = Field(description="to the cluster's first; lower than what is near where others lie between")
    text: str = Field(description="the question")


class NearClusterShape(Shape):
    """Questions that are near-duplicates, directly or through others."""

    size: int = Field(description="how many questions it has")
    members: list[NearMemberShape] = Field(description="the first 50")


class NearEndShape(Shape):
    """The last line: without it the report is not whole."""

    clusters: int = Field(description="how many were shown")


class NearLineShape(Shape):
    """One line of the report; it has one of these."""

    progress: PhaseShape | None = Field(default=None, description="lines like this come first")
    report: NearReportShape | None = Field(default=None, description="then this one")
    cluster: NearClusterShape | None = Field(default=None, description="then clusters, the largest first")
    end: NearEndShape | None = Field(default=None, description="then this one")
