"""Following a job: a live view in a terminal, one parseable line per event elsewhere."""

import json
from collections.abc import Iterator
from decimal import Decimal
from time import monotonic

from rich.console import Console
from rich.live import Live

from cli.connection import Client
from cli.exchange import Event
from cli.plain_words import ApiProblem
from cli.watch_view import Lost, ProgressView

EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 1, "paused": 3}


def watch(client: Client, job_id: str, console: Console, *, as_json: bool) -> int:
    """Show progress until the job ends or pauses; the exit code says how (0, 1 or 3)."""
    if as_json or not console.is_terminal:
        return _watch_lines(until_rest(client.events(job_id)), console, as_json=as_json)
    return _watch_live(client, job_id, console)


def exit_code(state: str) -> int:
    """0 for a job that succeeded, 1 for one that failed or was cancelled, 3 for one that is paused."""
    return EXIT_CODES.get(state, 0)


def progress_line(event: Event) -> str:
    """One event as `key=value` pairs."""
    data = event.data
    calls = data["calls"]
    pairs = {
        "event": event.kind,
        "job": data["id"],
        "state": data["state"],
        "selected": data["selected"],
        "target": data["target"],
        "admitted": data["admitted"],
        # A job that an older release has archived does not say.
        "validated": data.get("validated", 0),
        "answered": data.get("answered", 0),
        "rejected": sum(data["rejected"].values()),
        "calls_ok": calls["ok"],
        "calls_failed": calls["failed"],
        "in_flight": calls["in_flight"],
        "cost_usd": f"{Decimal(str(data['cost_usd'])):f}",
        "per_minute": data["per_minute"],
        "eta_seconds": "" if data["eta_seconds"] is None else data["eta_seconds"],
        "reason": json.dumps(data["reason"]) if data["reason"] else "",
    }
    return " ".join(f"{key}={value}" for key, value in pairs.items())


def until_rest(events: Iterator[Event]) -> Iterator[Event]:
    """Events until the job ends, or rests with no call in flight: a paused job may stay so for days."""
    for event in events:
        yield event
        if is_at_rest(event):
            return


def is_at_rest(event: Event) -> bool:
    """Whether the job is paused and no call is under way any more."""
    return bool(event.data["state"] == "paused" and event.data["calls"]["in_flight"] == 0)


def _watch_lines(events: Iterator[Event], console: Console, *, as_json: bool) -> int:
    state = "running"
    for event in events:
        state = event.data["state"]
        line = json.dumps({"event": event.kind, **event.data}) if as_json else progress_line(event)
        # Straight to the stream: rich would fold long lines.
        console.file.write(f"{line}\n")
        console.file.flush()
    return exit_code(state)


def _watch_live(client: Client, job_id: str, console: Console) -> int:
    state = "running"
    latest: ProgressView | None = None
    lost: Lost | None = None
    # A server that is stopped breaks off long after its last word.
    heard_at = monotonic()
    with Live(console=console, refresh_per_second=4) as live:

        def show_lost(problem: ApiProblem) -> None:
            nonlocal lost
            lost = lost or Lost(str(problem), heard_at)
            if latest is not None:
                live.update(ProgressView(latest.data, lost))

        for event in until_rest(client.events(job_id, on_lost=show_lost)):
            state, lost, heard_at = event.data["state"], None, monotonic()
            latest = ProgressView(event.data)
            live.update(latest)
    return exit_code(state)
