"""Who traces, and what is loaded for it."""

import subprocess
import sys

import pytest
from opentelemetry import trace

from shared import tracing
from shared.opentelemetry import OtelTracer
from shared.settings import Settings
from shared.tracing import configure_tracing, current_traceparent, is_tracing, span, use_tracer

OURS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_nothing_is_loaded_where_nobody_asks() -> None:
    code = (
        "import sys, shared.tracing as t; from shared.settings import Settings; t.configure_tracing(Settings(), 'x')\n"
        "with t.span('a', {'b': 1}, parent='c') as its: its.note(d=1); its.fail('e'); its.rename('f')\n"
        "assert t.current_traceparent() is None\n"
        "print(*(name for name in sys.modules if name.startswith(('opentelemetry', 'shared.opentelemetry'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("asked", "opens"),
    [({}, False), ({"otlp_endpoint": "http://x"}, True), ({"traces": True}, True),
     ({"otlp_endpoint": "http://x", "traces": False}, False)],
)  # fmt: skip
def test_it_is_asked_for_by_an_endpoint_or_by_name(
    asked: dict[str, object], *, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = OtelTracer(trace.get_tracer("a test"))
    monkeypatch.setattr("shared.opentelemetry.open_tracer", lambda _: tracer)
    put_back = use_tracer(None)
    try:
        configure_tracing(Settings.model_validate(asked), "worker")
        assert is_tracing() == opens
    finally:
        put_back()


def test_what_is_not_installed_is_said_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(tracing.log, "warning", lambda event, **_: said.append(event))

    def missing(_: str) -> OtelTracer:
        raise ImportError("No module named 'opentelemetry.sdk'")

    monkeypatch.setattr("shared.opentelemetry.open_tracer", missing)
    configure_tracing(Settings(traces=True), "worker")
    assert (said, is_tracing()) == ([tracing.NOT_INSTALLED], False)


def test_opentelemetry_goes_on_with_another_process_s_trace() -> None:
    # Without the SDK nothing is recorded, but the context is carried.
    put_back = use_tracer(OtelTracer(trace.get_tracer("a test")))
    try:
        assert current_traceparent() is None
        with span("batch", {"job": "x"}, parent=OURS) as its:
            its.note(ending="done")
            its.rename("other")
            its.fail("why")
            with span("call"):
                assert (current_traceparent() or "").split("-")[1] == OURS.split("-")[1]
        assert current_traceparent() is None
    finally:
        put_back()
