"""The documented shapes of what is answered about the versions of the prompts."""

from datetime import datetime

from pydantic import Field

from api.schemas import Shape
from shared.database.states import Stage


class PromptVersionShape(Shape):
    """One version of a stage's prompts."""

    version: str = Field(description="its name, such as `generate-1-4d85482a`")
    stage: Stage = Field(description="whose prompts these are")
    current: bool = Field(description="whether it is what calls are made with now")
    first_used_at: datetime | None = Field(description="when a worker or a job first came with it; null: never")
    calls: int | None = Field(default=None, description="of the job that was asked for, while its ledger is kept")


class PromptVersionsShape(Shape):
    """The present version of every stage and those used before; with `job`, the versions that its calls have."""

    items: list[PromptVersionShape] = Field(description="the versions")


class PromptFilesShape(PromptVersionShape):
    """A version with its files."""

    files: dict[str, str] = Field(description="text by file name, such as system.txt")
