"""Types of fields that many shapes have, described once."""

from typing import Annotated

from pydantic import Field

DomainName = Annotated[str, Field(description="the domain of its cell")]
DifficultyName = Annotated[str, Field(description="the difficulty of its cell")]
Model = Annotated[str, Field(description="`provider/model`")]
