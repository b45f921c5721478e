"""A tracer that sends its spans by OTLP over HTTP. Imported only where traces are asked for: shared/tracing.py."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.tracing import Span, Tracer, Value

_CONTEXT = TraceContextTextMapPropagator()


class OtelSpan:
    """An OpenTelemetry span as the rest of the code knows it; attributes get our prefix."""

    def __init__(self, inner: trace.Span) -> None:
        self._inner = inner

    def rename(self, name: str) -> None:
        """Call it otherwise."""
        self._inner.update_name(name)

    def note(self, **attributes: Value) -> None:
        """Add attributes."""
        self._inner.set_attributes(named(attributes))

    def fail(self, why: str) -> None:
        """It went wrong, without an exception."""
        self._inner.set_status(Status(StatusCode.ERROR, why))


class OtelTracer:
    """Keeps the current span where OpenTelemetry does, so that other instrumentation of the process fits in."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, *, parent: str | None, serves: bool, attributes: Mapping[str, Value]) -> Iterator[Span]:
        """A span within the current one, or within `parent`."""
        context = None if parent is None else _CONTEXT.extract({"traceparent": parent})
        kind = SpanKind.SERVER if serves else SpanKind.INTERNAL
        with self._tracer.start_as_current_span(name, context, kind, named(attributes)) as inner:
            yield OtelSpan(inner)

    def traceparent(self) -> str | None:
        """The current span's."""
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier)
        return carrier.get("traceparent")


def named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Attributes under our own prefix: what OpenTelemetry has conventions for changes with them."""
    return {f"questmill.{name}": value for name, value in attributes.items()}


def open_tracer(process: str) -> Tracer:
    """Spans go to OTEL_EXPORTER_OTLP_ENDPOINT in batches, from a thread, and at exit.

    Raises ImportError where requirements/tracing.txt is not installed.
    """
    # Not by import statements: the packages are not in the environment in which types are checked.
    exporter: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    resources: Any = import_module("opentelemetry.sdk.resources")
    sdk: Any = import_module("opentelemetry.sdk.trace")
    export: Any = import_module("opentelemetry.sdk.trace.export")
    provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": f"questmill-{process}"}))
    provider.add_span_processor(export.BatchSpanProcessor(exporter.OTLPSpanExporter()))
    return OtelTracer(provider.get_tracer("questmill"))
