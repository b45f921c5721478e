"""Spans of a request, its batches and their calls, as one trace. Nobody traces unless `configure_tracing` finds that
it is asked for and installed (docs/tracing.md); until then a span costs nothing and no package is loaded.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import structlog

from shared.settings import Settings

log = structlog.get_logger()

Value = str | int | float | bool
NOT_INSTALLED = "not traced: the packages of requirements/tracing.txt are not installed"


class Span(Protocol):
    """A stretch of work under way."""

    def rename(self, name: str) -> None: ...  # noqa: D102 - the names say it
    def note(self, **attributes: Value) -> None: ...  # noqa: D102
    def fail(self, why: str) -> None: ...  # noqa: D102


class Tracer(Protocol):
    """Whoever keeps the spans."""

    def span(
        self, name: str, *, parent: str | None, serves: bool, attributes: Mapping[str, Value]
    ) -> AbstractContextManager[Span]:
        """A span within the current one, or within `parent`, a W3C traceparent, of another process."""

    def traceparent(self) -> str | None:
        """What another process needs to go on with the current span; None outside of any."""


class _NoSpan:
    def rename(self, name: str) -> None:
        pass

    def note(self, **attributes: Value) -> None:
        pass

    def fail(self, why: str) -> None:
        pass


_NOTHING: AbstractContextManager[Span] = nullcontext(_NoSpan())
_tracer: Tracer | None = None


def configure_tracing(settings: Settings, process: str) -> None:
    """Trace from now on if that is asked for. What is not installed is said once, and stops nobody."""
    if not (settings.otlp_endpoint if settings.traces is None else settings.traces):
        return
    try:
        from shared.opentelemetry import open_tracer

        tracer = open_tracer(process)
    except ImportError as error:
        log.warning(NOT_INSTALLED, error=str(error))
    else:
        use_tracer(tracer)


def use_tracer(tracer: Tracer | None) -> Callable[[], None]:
    """Trace with this one; returns what puts the one before back."""
    global _tracer
    before, _tracer = _tracer, tracer

    def put_back() -> None:
        use_tracer(before)

    return put_back


def is_tracing() -> bool:
    """Whether spans are kept."""
    return _tracer is not None


def span(
    name: str, attributes: Mapping[str, Value] | None = None, *, parent: str | None = None, serves: bool = False
) -> AbstractContextManager[Span]:
    """A span for the block; an exception that leaves it fails it. `serves`: it answers somebody's request."""
    if _tracer is None:
        return _NOTHING
    return _tracer.span(name, parent=parent, serves=serves, attributes=attributes or {})


def current_traceparent() -> str | None:
    """The W3C trace context of the current span; None where nobody traces."""
    return None if _tracer is None else _tracer.traceparent()
