"""Following a job: bars in a terminal, one parseable line per event elsewhere."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.client import ApiProblem, Client, Event
from cli.tables import format_seconds, stages_table
from shared.money import format_usd

EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 1, "paused": 3}
# More cells than a screen has lines are shown as one bar per domain.
MOST_BARS = 24
# Those of rich look the same, done or not begun, where a terminal has 16 colours.
BAR_STYLES: dict[str, Any] = {"style": "bright_black", "complete_style": "cyan", "finished_style": "green"}

# What counts as done in each stage, as progress names it and as people do.
COUNTED = {"generate": "selected", "validate": "validated", "answer": "answered"}
DONE = {"generate": "chosen", "validate": "validated", "answer": "answered"}


def watch(client: Client, job_id: str, console: Console, *, as_json: bool) -> int:
    """Show progress until the job ends or pauses; the exit code says how (0, 1 or 3)."""
    if as_json or not console.is_terminal:
        return _watch_lines(_until_rest(client.events(job_id)), console, as_json=as_json)
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


def progress_view(data: Mapping[str, Any], note: str = "") -> RenderableType:
    """A job's progress as bars and two lines of numbers; of one that rests, what its stages cost."""
    table = Table.grid(padding=(0, 2))
    stages = [each["stage"] for each in data.get("stages", [])]
    for name, done, target, remark in _bars(data["cells"], COUNTED.get(stages[-1] if stages else "", "selected")):
        bar = ProgressBar(total=max(target, 1), completed=done if target else 1, width=36, **BAR_STYLES)
        table.add_row(name, bar, Text(f"{done:,}/{target:,}", justify="right"), Text(remark, style="yellow"))
    calls = data["calls"]
    refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(data["rejected"].items())) or "none"
    is_running = data["state"] == "running"
    eta = "" if data["eta_seconds"] is None else f", about {format_seconds(data['eta_seconds'])} left"
    speed = f", {data['per_minute']:,.0f} a minute{eta}" if is_running else ""
    lines = [
        f"{data['dataset']}: {data['state']}, {data['selected']:,} of {data['target']:,} questions{speed}",
        f"calls: {calls['ok']:,} ok, {calls['failed']:,} failed, {calls['retried']:,} retried, "
        f"{calls['in_flight']:,} in flight; {format_usd(data['cost_usd'])}; refused: {refused}",
    ]
    if len(stages) > 1:
        through = ", ".join(f"{data[COUNTED[stage]]:,} {DONE[stage]}" for stage in stages)
        cost = sum(each["left"]["cost_usd"] for each in data["stages"])
        rest = f"; the rest will cost about {format_usd(round(cost, 4))}" if is_running else ""
        lines.insert(1, f"{through}{rest}")
    if data["reason"]:
        lines.append(f"reason: {data['reason']}")
    if note:
        lines.append(note)
    spent = [] if is_running or len(stages) < 2 else [stages_table(data["stages"])]
    return Group(table, *(Text(line) for line in lines), *spent)


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
    latest: Mapping[str, Any] = {}
    with Live(console=console, refresh_per_second=4) as live:

        def show_lost(problem: ApiProblem) -> None:
            live.update(progress_view(latest, note=f"connection lost, trying again: {problem}"))

        for event in _until_rest(client.events(job_id, on_lost=show_lost)):
            latest = event.data
            state = latest["state"]
            live.update(progress_view(latest))
    return exit_code(state)


def _until_rest(events: Iterator[Event]) -> Iterator[Event]:
    """Events until the job ends, or rests with no call in flight: a paused job may stay so for days."""
    for event in events:
        yield event
        if event.data["state"] == "paused" and event.data["calls"]["in_flight"] == 0:
            return


def _bars(cells: list[Mapping[str, Any]], counted: str) -> list[tuple[str, int, int, str]]:
    if len(cells) <= MOST_BARS:
        return [
            (f"{cell['domain']}/{cell['difficulty']}", cell[counted], cell["target"], cell.get("stopped") or "")
            for cell in cells
        ]
    domains = dict.fromkeys(cell["domain"] for cell in cells)
    rows = []
    for domain in domains:
        of_domain = [cell for cell in cells if cell["domain"] == domain]
        stopped = sum(1 for cell in of_domain if cell.get("stopped"))
        done, target = (sum(cell[name] for cell in of_domain) for name in (counted, "target"))
        rows.append((domain, done, target, f"{stopped} stopped" if stopped else ""))
    return rows
