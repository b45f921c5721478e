"""What the client prints: plans, jobs, imports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shared.money import format_usd

# With fewer columns left for its name a job's line simply goes on in the next one.
LEAST_NAME = 8
# Below so many columns the table of stages has no room to spare; where it has not enough, these go, the first first.
NARROW = 70
FIRST_TO_GO = ("questions", "off", "calls", "forecast", "left", "to cost")
REHEARSAL = "rehearsal: the models are simulated, nothing is paid"


def plan_view(planned: Mapping[str, Any]) -> RenderableType:
    """A planned job: the table, the totals, the forecast, the warnings."""
    parts: list[RenderableType] = []
    if planned.get("rehearsal"):
        parts.append(Text(REHEARSAL, style="yellow"))
    parts += [_cell_table(planned["cells"]), _shares_line(planned), _forecast_lines(planned)]
    spec = planned.get("spec", {})
    if spec.get("budget_usd") is not None:
        parts.append(Text(f"budget: {format_usd(spec['budget_usd'])}"))
    for stage, models in spec.get("models", {}).items():
        named = ", ".join(f"{name} by {_named(model)}" for name, model in models.items())
        bulk = "; in bulk, at half price and within a day" if spec.get("mode", {}).get(stage) == "bulk" else ""
        parts.append(Text(f"{stage}: {named}{bulk}"))
    parts += [Text(f"warning: {warning}", style="yellow") for warning in planned["warnings"]]
    return Group(*parts)


def _named(models: str | Sequence[str]) -> str:
    return models if isinstance(models, str) else " and ".join(models)


def jobs_view(jobs: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Jobs in short."""
    if not jobs:
        return Text("No jobs yet. Start one with: questmill submit SPEC")
    rows = [("job", "created", "state", "dataset")]
    for job in jobs:
        name = job["dataset"] + (" (rehearsal)" if job.get("rehearsal") else "")
        rows.append((job["id"], str(job.get("created_at", ""))[:16].replace("T", " "), job["state"], name))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    parts: list[RenderableType] = [_JobLine(rows[0], widths, "bold")]
    for row, job in zip(rows[1:], jobs, strict=True):
        parts.append(_JobLine(row, widths))
        if job.get("reason"):  # up to a paragraph, for which no column is wide enough
            parts.append(Padding(Text(job["reason"]), (0, 0, 0, 4), expand=False))
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class _JobLine:
    """A row of its own, since reasons stand between the rows. The last column, the name, folds: nothing is cut."""

    row: Sequence[str]
    widths: Sequence[int]
    style: str = ""

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if options.max_width < sum(self.widths) + 2 * len(self.widths) + LEAST_NAME:
            yield Text("  ".join(self.row), self.style, overflow="fold")
            return
        line = Table.grid(padding=(0, 2, 0, 0))
        for width in self.widths:
            line.add_column(width=width, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(*map(Text, self.row), style=self.style)
        yield line


def submissions_view(submissions: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Bulk submissions: whom they went to, how many calls they hold, how far they are."""
    if not submissions:
        return Text("No bulk submissions. With mode: bulk there are some, until the job's ledger is archived.")
    table = Table(box=None, pad_edge=False)
    for heading in ("provider's id", "model", "calls", "state", "submitted", "ended", "detail"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "calls" else "left")
    for each in submissions:
        state = each["state"] + (", cancel asked" if each["cancel_asked_at"] else "")
        times = [str(each[name] or "")[:19].replace("T", " ") for name in ("submitted_at", "ended_at")]
        table.add_row(
            each["provider_id"] or "", each["model"], f"{each['requests']:,}", state, *times, each["detail"] or ""
        )
    return table


def import_view(report: Mapping[str, Any]) -> RenderableType:
    """What became of a baseline."""
    counts = ", ".join(
        f"{report[name]:,} {name.replace('_', '-')}"
        for name in ("read", "imported", "duplicates", "invalid", "near_duplicates")
    )
    lines = [Text(counts)]
    lines += [Text(f"line {each['line']}: {each['error']}", style="yellow") for each in report["problems"]]
    hidden = report["invalid"] - len(report["problems"])
    if hidden > 0:
        lines.append(Text(f"... and {hidden:,} more", style="yellow"))
    if contaminated := report.get("contaminated"):
        lines.append(Text(f"{contaminated:,} are like a benchmark's items: flagged, and left out of exports"))
    return Group(*lines)


def stages_table(stages: Sequence[Mapping[str, Any]], *, width: int | None = None) -> Table:
    """What each stage did and cost, beside what was forecast; what it has still to do, if anything.

    With a `width` columns go until the others fit: a number that is cut is worse than none.
    """
    columns = _stage_columns(stages)
    is_narrow = width is not None and width < NARROW
    gap = 1 if is_narrow else 2
    for heading in FIRST_TO_GO:
        needed = sum(gap + max(map(len, (name, *texts))) for name, texts in columns.items()) - gap
        if width is None or needed <= width:
            break
        columns.pop(heading, None)
    table = Table(box=None, pad_edge=False, show_footer=True, collapse_padding=is_narrow)
    for heading, texts in columns.items():
        justify: Literal["left", "right"] = "left" if heading == "stage" else "right"
        table.add_column(heading, texts[-1], justify=justify, footer_style="bold")
    for n in range(len(stages)):
        table.add_row(*(texts[n] for texts in columns.values()))
    return table


def _stage_columns(stages: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By heading, a text for each stage, and the one at the foot."""
    forecast = [float(each["forecast"]["cost_usd"]) if each["forecast"] else 0.0 for each in stages]
    actual = [float(each["actual"]["cost_usd"]) for each in stages]
    left = [float(each["left"]["cost_usd"]) for each in stages]
    calls = [each["actual"]["calls"] for each in stages]
    columns = {
        "stage": [*(each["stage"] for each in stages), "total"],
        "questions": [*(f"{each['actual']['questions']:,}" for each in stages), ""],
        "calls": [f"{count:,}" for count in (*calls, sum(calls))],
        "forecast": [
            *(format_usd(usd) if each["forecast"] else "" for each, usd in zip(stages, forecast, strict=True)),
            format_usd(sum(forecast)),
        ],
        "actual": [format_usd(usd) for usd in (*actual, sum(actual))],
    }
    if any(each["left"]["questions"] for each in stages):
        columns["left"] = [*(f"{each['left']['questions']:,}" for each in stages), ""]
        columns["to cost"] = [format_usd(usd) for usd in (*left, sum(left))]
    else:
        columns["off"] = list(map(_off, (*forecast, sum(forecast)), (*actual, sum(actual))))
    return columns


def _off(forecast: float, actual: float) -> str:
    return f"{actual / forecast - 1:+.1%}" if forecast else ""


def format_seconds(seconds: float) -> str:
    """A duration as people say it: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _cell_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    difficulties = list(dict.fromkeys(cell["difficulty"] for cell in cells))
    domains = list(dict.fromkeys(cell["domain"] for cell in cells))
    by_cell = {(cell["domain"], cell["difficulty"]): cell for cell in cells}
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("domain", "total", footer_style="bold")
    for difficulty in difficulties:
        for name in ("target", "have", "generate"):
            total = sum(cell[name] for cell in cells if cell["difficulty"] == difficulty)
            table.add_column(f"{difficulty}\n{name}", f"{total:,}", justify="right", footer_style="bold")
    table.add_column("all\ntarget", f"{sum(cell['target'] for cell in cells):,}", justify="right", footer_style="bold")
    for domain in domains:
        row = [by_cell[domain, difficulty] for difficulty in difficulties]
        counts = [f"{cell[name]:,}" for cell in row for name in ("target", "have", "generate")]
        table.add_row(domain, *counts, f"{sum(cell['target'] for cell in row):,}")
    return table


def _shares_line(planned: Mapping[str, Any]) -> Text:
    totals = planned["totals"]
    asked = {
        name: float(each["token_share"])
        for name, each in planned.get("spec", {}).get("mix", {}).get("difficulties", {}).items()
    }
    parts = []
    for name, share in totals["token_shares"].items():
        wanted = f" (asked {asked[name]:.3%})" if name in asked else ""
        parts.append(f"{name} {float(share):.3%}{wanted}")
    return Text(
        f"{totals['questions']:,} questions, {totals['generate']:,} to generate; tokens: {', '.join(parts)}",
    )


def _forecast_lines(planned: Mapping[str, Any]) -> RenderableType:
    forecast = planned["forecast"]
    modes = planned.get("spec", {}).get("mode", {})
    is_bulk = any(modes.get(each["stage"]) == "bulk" for each in forecast.get("stages", []))
    seconds = float(forecast["seconds"])
    duration = "hours or days, for it goes in bulk" if is_bulk else f"about {format_seconds(seconds)}"
    line = Text(
        f"forecast: {forecast['calls']:,} calls, {forecast['input_tokens']:,} input and "
        f"{forecast['output_tokens']:,} output tokens, {format_usd(forecast['cost_usd'])}, {duration}"
    )
    stages = forecast.get("stages", [])
    if len(stages) < 2:
        return line
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for name in ("questions", "calls", "input tokens", "output tokens", "cost"):
        table.add_column(name, justify="right")
    for each in stages:
        counts = (each[name] for name in ("questions", "calls", "input_tokens", "output_tokens"))
        table.add_row(each["stage"], *(f"{count:,}" for count in counts), format_usd(each["cost_usd"]))
    return Group(line, table)
