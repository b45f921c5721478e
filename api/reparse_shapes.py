"""The documented shapes of reading a job's stored replies again."""

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import Shape


class ReparseBody(BaseModel):
    """How to read again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dry_run: bool = Field(default=False, description="only tell what would be gained")


class GainedShape(Shape):
    """What today's parsers find that an older one did not."""

    questions: int = Field(description="candidates, admitted or refused")
    verdicts: int = Field(description="verdicts that were missed")
    answers: int = Field(description="answers that were missed")


class SettledShape(Shape):
    """Questions of an unfinished job that a gained result decided."""

    validated: int = Field(description="accepted by their judges now")
    answered: int = Field(description="answered now")
    rejected: int = Field(description="rejected now")


class ReparsedShape(Shape):
    """What reading again brought, or would bring."""

    dry_run: bool = Field(description="whether this only tells what would be gained")
    read: int = Field(description="replies that were parsed before and are kept")
    unchanged: int = Field(description="those that gave nothing new")
    pruned: int = Field(description="replies that are gone: they were pruned")
    gained: GainedShape = Field(description="what was found")
    admitted: int = Field(description="candidates that became questions, in the reserve")
    refused: dict[str, int] = Field(description="candidates that did not, by reason")
    settled: SettledShape = Field(description="what that decided")
