"""The documented shapes of the lines in which a dataset's near-duplicates are reported."""

from pydantic import Field

from api.schemas import Shape
from shared.database.states import QuestionState


class PhaseShape(Shape):
    """How far a report is."""

    phase: str = Field(pattern="^(reading|pairing|comparing)$")
    done: int
    total: int


class NearPairsShape(Shape):
    """Pairs whose texts were compared, and those that are near."""

    compared: int
    near: int


class NearReportShape(Shape):
    """The near-duplicates of a dataset, counted."""

    dataset: str
    questions: int
    pairs: NearPairsShape
    in_clusters: int = Field(description="questions that are in a cluster")
    clusters: int
    largest: int = Field(description="questions in the largest cluster")
    cells: list[dict[str, str | int]] = Field(description="questions in clusters by domain and difficulty")
    sources: list[dict[str, str | int]] = Field(description="questions in clusters by job, or `baseline`")
    told_apart: dict[str, int] = Field(description="similar pairs that are different questions, by what showed it")
    too_long: int = Field(description="pairs that were not compared because a text is too long")


class NearMemberShape(Shape):
    """A question of a cluster; a long text is shown without its middle."""

    id: int
    domain: str
    difficulty: str
    state: QuestionState
    source: str
    similarity: float = Field(description="to the cluster's first; lower than what is near where others lie between")
    text: str


class NearClusterShape(Shape):
    """Questions that are near-duplicates, directly or through others."""

    size: int
    members: list[NearMemberShape] = Field(description="the first 50")


class NearEndShape(Shape):
    """The last line: without it the report is not whole."""

    clusters: int = Field(description="how many were shown")


class NearLineShape(Shape):
    """One line of the report; it has one of these."""

    progress: PhaseShape | None = None
    report: NearReportShape | None = None
    cluster: NearClusterShape | None = None
    end: NearEndShape | None = None
