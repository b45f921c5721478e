"""A job's progress on a screen: bars, stages with their money, what it costs, what a person should know."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.staged_bar import StagedBar
from cli.tables import format_seconds, stages_table
from cli.watch_notes import warnings_of, what_next
from cli.wording import harmless
from shared.money import format_usd

# What counts as done in each stage, as progress names it and as people do.
COUNTED = {"generate": "selected", "validate": "validated", "answer": "answered"}
DONE = {"generate": "chosen", "validate": "validated", "answer": "answered"}
STATE_STYLE = {"running": "cyan", "paused": "yellow", "succeeded": "green", "cancelled": "red", "failed": "red"}
SMALLEST_BAR = 8
LARGEST_BAR = 36
NAME_WIDTH = 20
LEAST_ROWS = 4
# A screen that is not told its height is as high as terminals were.
USUAL_HEIGHT = 24
MOST_REASONS = 6
# What goes first, and next, where the screen is too low for everything.
FIRST_TO_GO = ("tokens", "refused", "calls", "stages")


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection that broke at `since`, by the clock of the view."""

    why: str
    since: float


@dataclass(frozen=True, slots=True)
class ProgressView:
    """One look at a job, fitted to the screen it is printed on. `lost` says since when the numbers stand still."""

    data: Mapping[str, Any]
    lost: Lost | None = None
    clock: Callable[[], float] = time.monotonic

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        head, tail = list(self._head(options.max_width)), dict(self._tail(options.max_width))
        height = options.height or (options.size.height if console.is_terminal else None) or USUAL_HEIGHT

        def room() -> int:
            """Rows that are left for the cells."""
            taken = (console.render_lines(each, options.update(height=None)) for each in (*head, *tail.values()))
            return height - sum(map(len, taken)) - 1

        least = min(LEAST_ROWS, 1 + len({cell["domain"] for cell in self.data["cells"]}))
        for name in FIRST_TO_GO:
            if room() >= least:
                break
            tail.pop(name, None)
        yield from head
        yield cells_view(self.data["cells"], self._counted, options.max_width, max(LEAST_ROWS, room()))
        yield from tail.values()

    @property
    def _counted(self) -> str:
        """What the last stage counts, as cells and progress name it."""
        stages = self.data.get("stages") or [{"stage": "generate"}]
        return COUNTED[stages[-1]["stage"]]

    def _head(self, width: int) -> Iterator[RenderableType]:
        data = self.data
        title = Text(data["dataset"], style="bold").append("  ")
        title.append(data["state"], STATE_STYLE.get(data["state"], ""))
        if data.get("rehearsal"):
            title.append("  rehearsal: nothing is paid", "yellow")
        yield title
        done, target = data.get(self._counted, data["selected"]), data["target"]
        word = next(name for stage, name in DONE.items() if COUNTED[stage] == self._counted)
        told = f"{share_of(done, target)}  {done:,} of {target:,} {word}"
        if data["state"] == "running":
            eta = data["eta_seconds"]
            left = "" if eta is None else f", about {format_seconds(eta)} left"
            # Nothing comes out of the last stage while the first ones are at work.
            rate = f", {data['per_minute']:,.0f} a minute" if data["per_minute"] else ""
            told += rate + left if len(told + rate + left) <= width else left
        room = width - len(told) - 2
        bar = StagedBar(done, data["selected"], target, min(LARGEST_BAR, room))
        # The cells have bars of their own.
        yield _row(bar, told) if room >= SMALLEST_BAR else Text(told)

    def _tail(self, width: int) -> Iterator[tuple[str, RenderableType]]:
        """What is below the cells, each by a name."""
        data = self.data
        if stages := data.get("stages"):
            yield "stages", stages_table(stages, width=width)
        yield "money", Text(_money(data))
        if tokens := _tokens(data.get("token_shares", {})):
            yield "tokens", Text(tokens)
        calls = data["calls"]
        told = (
            f"calls: {calls['ok']:,} ok, {calls['failed']:,} failed, {calls['retried']:,} retried, "
            f"{calls['in_flight']:,} in flight"
        )
        yield "calls", Text(told)
        yield "refused", Text(f"refused: {_reasons(data['rejected'])}")
        for each in warnings_of(data):
            yield each, Text(f"warning: {harmless(each)}", style="yellow")
        if data["reason"]:
            yield "reason", Text(f"reason: {harmless(data['reason'])}", style=STATE_STYLE.get(data["state"], ""))
        if self.lost:
            stale = format_seconds(self.clock() - self.lost.since)
            why = f"connection lost, the numbers are {stale} old; trying again: {self.lost.why}"
            yield "lost", Text(why, style="red")
        elif hint := what_next(data):
            yield "hint", Text(hint, style="dim")


def cells_view(cells: Sequence[Mapping[str, Any]], counted: str, width: int, rows: int) -> RenderableType:
    """A bar per cell, a domain a row; a bar per domain where the screen is too narrow for that, or too low."""
    by_domain: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        by_domain.setdefault(cell["domain"], []).append(cell)
    difficulties = list(dict.fromkeys(cell["difficulty"] for cell in cells))
    name_width = min(NAME_WIDTH, max((len(name) for name in (*by_domain, "domain")), default=0))
    count_width = max((len(_count(cell[counted], cell["target"])) for cell in cells), default=0)
    room = (width - name_width) // max(1, len(difficulties)) - count_width - 4
    shown, hidden = _choose(by_domain, counted, rows - 1)
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("domain", no_wrap=True, overflow="ellipsis", width=name_width)
    if room < SMALLEST_BAR:
        # Too many difficulties for a bar each: one for all of them.
        difficulties, wide = ["all difficulties"], max(SMALLEST_BAR, min(LARGEST_BAR, width - name_width - 28))
        by_domain = {name: [_sum(its, counted)] for name, its in by_domain.items()}
    else:
        wide = min(LARGEST_BAR, room)
    for difficulty in difficulties:
        table.add_column(difficulty, width=wide, no_wrap=True, overflow="ellipsis")
        table.add_column("", justify="right", no_wrap=True)
    for domain in shown:
        its = {cell["difficulty"]: cell for cell in by_domain[domain]}
        row = [_cell(its.get(each), counted, wide) for each in difficulties]
        table.add_row(Text(domain), *(part for pair in row for part in pair))
    if not hidden:
        return table
    rest = _sum([cell for name in hidden for cell in by_domain[name]], counted)
    whole = sum(all(_is_done(cell, counted) for cell in by_domain[name]) for name in hidden)
    count = _count(rest[counted], rest["target"])
    return Group(table, Text(f"and {len(hidden):,} more domains: {count}, {whole:,} of them done", style="dim"))


def share_of(done: int, target: int) -> str:
    """As percent; 100 only when nothing is missing."""
    share = done / target if target else 1.0
    return f"{min(share, 0.999) if done < target else share:.1%}"


def _choose(
    by_domain: Mapping[str, Sequence[Mapping[str, Any]]], counted: str, rows: int
) -> tuple[list[str], list[str]]:
    """The domains for which there is room, those furthest behind; they keep the plan's order, so that rows rest."""
    if len(by_domain) <= rows:
        return list(by_domain), []
    sums = {name: _sum(its, counted) for name, its in by_domain.items()}
    behind = sorted(by_domain, key=lambda name: sums[name][counted] / max(1, sums[name]["target"]))
    chosen = set(behind[: max(1, rows - 1)])
    return [name for name in by_domain if name in chosen], [name for name in by_domain if name not in chosen]


def _sum(cells: Sequence[Mapping[str, Any]], counted: str) -> dict[str, Any]:
    stopped = "stopped" if any(cell.get("stopped") for cell in cells) else None
    sums = {name: sum(cell[name] for cell in cells) for name in dict.fromkeys((counted, "selected", "target"))}
    return {"difficulty": "all difficulties", "stopped": stopped, **sums}


def _cell(cell: Mapping[str, Any] | None, counted: str, width: int) -> tuple[RenderableType, Text]:
    if cell is None:
        return Text(""), Text("")
    count = Text(_count(cell[counted], cell["target"]))
    if cell.get("stopped"):
        count.stylize("yellow")
    elif _is_done(cell, counted):
        count.stylize("green")
    return StagedBar(cell[counted], cell["selected"], cell["target"], width), count


def _is_done(cell: Mapping[str, Any], counted: str) -> bool:
    return bool(cell[counted] >= cell["target"])


def _count(done: int, target: int) -> str:
    return f"{done:,}/{target:,}"


def _row(bar: StagedBar, told: str) -> Table:
    row = Table.grid(padding=(0, 2))
    row.add_row(bar, Text(told))
    return row


def _money(data: Mapping[str, Any]) -> str:
    budget = data.get("budget_usd")
    told = f"cost: {format_usd(data['cost_usd'])}"
    if budget is not None:
        told += f" of {format_usd(budget)} budget" + (f" ({data['cost_usd'] / budget:.1%})" if budget else "")
    if data.get("held_usd") and data["state"] == "running":
        told += f", {format_usd(round(data['held_usd'], 4))} held for calls under way or in bulk"
    left = sum(float(each["left"]["cost_usd"]) for each in data.get("stages", []))
    return told + (f"; the rest about {format_usd(round(left, 4))}" if left else "")


def _tokens(shares: Mapping[str, Mapping[str, Any]]) -> str:
    measured = shares.get("measured", {})
    parts = [
        f"{name} {float(planned):.1%} planned" + (f", {float(measured[name]):.1%} measured" if name in measured else "")
        for name, planned in shares.get("planned", {}).items()
    ]
    return f"tokens: {'; '.join(parts)}" if parts else ""


def _reasons(rejected: Mapping[str, int]) -> str:
    """The most frequent first; what is rare is added up."""
    ranked = sorted(rejected.items(), key=lambda each: (-each[1], each[0]))
    told = [f"{count:,} {reason}" for reason, count in ranked[:MOST_REASONS]]
    if rare := sum(count for _, count in ranked[MOST_REASONS:]):
        told.append(f"{rare:,} for {len(ranked) - MOST_REASONS} other reasons")
    return ", ".join(told) or "none"
