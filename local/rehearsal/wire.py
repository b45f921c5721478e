"""What the two wire formats have in common: a request asked, an answer made, and how a format turns one into bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

import orjson

from local.rehearsal.quotas import BucketState, Kind
from shared.questions.tokens import count_tokens

MESSAGE_TOKENS = 4  # its role, beginning and end


class BadRequest(Exception):
    """The request body is not what the provider's API takes."""


def read_object(body: bytes) -> dict[str, Any]:
    """A request's body as a JSON object; raises BadRequest."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadRequest("the body is not a JSON object")
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for one answer. `max_output_tokens` includes reasoning; None means no limit."""

    model: str
    user: str
    input_tokens: int
    schema: Mapping[str, Any] | None
    max_output_tokens: int | None
    reasoning_share: float = 0.0

    @property
    def wanted(self) -> str:
        """What the answer's object is to hold, `questions` unless the schema has another property."""
        properties = self.schema.get("properties") if self.schema is not None else None
        return next(iter(properties)) if isinstance(properties, Mapping) and len(properties) == 1 else "questions"


class Ending(StrEnum):
    """Why the model stopped."""

    COMPLETE = "complete"
    CUT = "cut"
    REFUSED = "refused"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class Made:
    """An answer; `output_tokens` includes `reasoning_tokens`, `planted` are the lines of the plants in it."""

    text: str
    ending: Ending
    output_tokens: int
    reasoning_tokens: int
    planted: tuple[int, ...] = ()


class Trouble(StrEnum):
    """Answers that are an error."""

    BAD_REQUEST = "bad request"
    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "not found"
    RATE_LIMITED = "rate limited"
    NO_MONEY = "no money"
    SERVER_ERROR = "server error"
    OVERLOADED = "overloaded"


class Wire(Protocol):
    """One provider's format."""

    name: str
    key_headers: tuple[str, ...]
    client_id_header: str

    def read(self, body: Mapping[str, Any]) -> Asked:
        """The request; raises BadRequest."""
        ...

    def costs(self, input_tokens: float, output_tokens: float) -> dict[Kind, float]:
        """What the tokens cost of each of the provider's quotas, besides the request itself."""
        ...

    def answer(self, asked: Asked, made: Made, request_id: str) -> bytes:
        """The body of a 200."""
        ...

    def trouble(self, trouble: Trouble, message: str, request_id: str) -> tuple[int, bytes]:
        """Status and body of an error."""
        ...

    def headers(self, states: Mapping[Kind, BucketState], request_id: str) -> dict[str, str]:
        """The request's id and what is left of each quota."""
        ...


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(block.get("text", "")) for block in content if isinstance(block, Mapping))
    raise BadRequest("a message needs content")


def read_messages(body: Mapping[str, Any]) -> tuple[str, int]:
    """The text of the last user message, and the tokens of all messages."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(entry, Mapping) for entry in messages):
        raise BadRequest("messages: a list of at least one message is required")
    texts = [(entry.get("role"), text_of(entry.get("content"))) for entry in messages]
    user = next((text for role, text in reversed(texts) if role == "user"), "")
    counts = (count_tokens(text) if role == "user" else count_repeated(text) for role, text in texts)
    return user, sum(count + MESSAGE_TOKENS for count in counts)


def read_model(body: Mapping[str, Any]) -> str:
    """The model's name; any name is played."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("model: a name is required")
    if body.get("stream"):
        raise BadRequest("stream: the rehearsal server does not stream")
    return model


def read_limit(value: object, name: str) -> int | None:
    """A limit of output tokens."""
    if value is None:
        return None
    if not isinstance(value, int) or value < 1:
        raise BadRequest(f"{name}: a whole number of at least 1 is required")
    return value


@lru_cache(maxsize=256)
def count_repeated(text: str) -> int:
    """The tokens of a text that comes with request after request, such as a system prompt."""
    return count_tokens(text)


def count_schema(schema: Mapping[str, Any] | None) -> int:
    """The input tokens of a schema: providers put its text into the prompt."""
    return count_repeated(orjson.dumps(schema).decode()) if schema is not None else 0
