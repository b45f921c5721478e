"""Whether the shapes say all that is answered."""

from collections.abc import Iterable

from pydantic import BaseModel


def undocumented(answer: object) -> set[str]:
    """The fields that an answer has and its shape does not, at any depth: "JobShape.reason"."""
    if isinstance(answer, dict):
        return undocumented(answer.values())
    if isinstance(answer, BaseModel):
        own = {f"{type(answer).__name__}.{name}" for name in answer.model_extra or ()}
        return own | undocumented([getattr(answer, name) for name in type(answer).model_fields])
    if isinstance(answer, Iterable) and not isinstance(answer, str):
        return set().union(*map(undocumented, answer))
    return set()
