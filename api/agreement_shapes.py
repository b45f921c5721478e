"""The documented shapes of what is answered about the judges of a job."""

from uuid import UUID

from pydantic import Field

from api.described import DifficultyName, DomainName
from api.schemas import Shape


class CriterionShape(Shape):
    """How questions fare on one criterion."""

    mean: float | None = Field(description="of all scores, 1 to 5")
    spread: float | None = Field(description="highest minus lowest vote, mean over questions; null for one vote")


class VerdictCountsShape(Shape):
    """Verdicts of some questions, counted."""

    judged: int = Field(description="questions with a verdict")
    accepted: int = Field(description="by more than half of all their votes")
    rejected: int = Field(description="by at least half of all their votes")
    open: int = Field(description="not all votes are in")
    verdicts: int = Field(description="votes that are in")
    rejected_for: dict[str, int] = Field(
        description="rejected questions by the criterion that a judge found wanting; one may count for several"
    )
    differing: float | None = Field(description="share of questions whose votes differ; null for one vote")
    criteria: dict[str, CriterionShape] = Field(description="how questions fare, by criterion")
    kappa: float | None = Field(
        description="Fleiss' kappa of accepted or not; null where all votes are the same or there is one"
    )


class CellVerdictsShape(VerdictCountsShape):
    """What the judges said of the questions of one cell."""

    domain: DomainName
    difficulty: DifficultyName


class AgreementShape(VerdictCountsShape):
    """What the judges said of the questions of a job."""

    job_id: UUID = Field(description="the job")
    votes: int = Field(description="verdicts that each question is to get; 0: the job validates nothing")
    least: int = Field(description="the lowest score that meets a criterion")
    cells: list[CellVerdictsShape] | None = Field(default=None, description="when asked for")
