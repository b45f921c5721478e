"""Bodies and answers of /v1/session."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from shared.access.scopes import Scope


class SignInBody(BaseModel):
    """What one signs in with."""

    model_config = ConfigDict(extra="forbid")

    key: SecretStr = Field(max_length=200, examples=["qm_..."], description="a key that `./run keys create` made")


class SignedInShape(BaseModel):
    """By which key, and what it may."""

    name: str = Field(description="the key's name")
    scope: Scope = Field(description="`read`, `submit` or `admin`")


class SessionShape(BaseModel):
    """Whether a key is needed here, and whose was given; null: nobody has signed in."""

    required: bool = Field(description="whether every request needs a key here")
    key: SignedInShape | None = Field(description="the key of this request or session")
