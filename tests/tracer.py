"""A tracer that remembers its spans, for tests of what is a part of what."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from shared.tracing import Value


@dataclass(eq=False)
class RememberedSpan:
    name: str
    trace_id: str
    parent_id: str | None
    serves: bool
    attributes: dict[str, Value]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    failure: str | None = None
    ended: bool = False

    def rename(self, name: str) -> None:
        self.name = name

    def note(self, **attributes: Value) -> None:
        self.attributes |= attributes

    def fail(self, why: str) -> None:
        self.failure = why

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.id}-01"


class RememberingTracer:
    def __init__(self) -> None:
        self.spans: list[RememberedSpan] = []
        self._current: ContextVar[RememberedSpan | None] = ContextVar("current", default=None)

    @contextmanager
    def span(
        self, name: str, *, parent: str | None, serves: bool, attributes: Mapping[str, Value]
    ) -> Iterator[RememberedSpan]:
        trace_id: str
        parent_id: str | None
        if parent is not None:
            _, trace_id, parent_id, _ = parent.split("-")
        elif (within := self._current.get()) is not None:
            trace_id, parent_id = within.trace_id, within.id
        else:
            trace_id, parent_id = secrets.token_hex(16), None
        made = RememberedSpan(name, trace_id, parent_id, serves, dict(attributes))
        self.spans.append(made)
        token = self._current.set(made)
        try:
            yield made
        except BaseException as error:
            made.failure = type(error).__name__
            raise
        finally:
            made.ended = True
            self._current.reset(token)

    def traceparent(self) -> str | None:
        current = self._current.get()
        return None if current is None else current.traceparent

    def named(self, start: str) -> list[RememberedSpan]:
        return [each for each in self.spans if each.name.startswith(start)]
