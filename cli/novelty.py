"""What the client prints of a job's search for new questions."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

STATE_STYLE = {"open": "green", "resting": "yellow", "dry": "red"}


def novelty_view(found: Mapping[str, Any]) -> RenderableType:
    """A line for each cell."""
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    for heading in ("generated", "new", "yield", "expected", "open", "resting", "dry", "floor", "left at least"):
        table.add_column(heading, justify="right")
    for cell in found["cells"]:
        topics = cell["topics"] or {}
        table.add_row(
            escape(f"{cell['domain']}/{cell['difficulty']}"),
            f"{cell['generated']:,}",
            f"{cell['admitted']:,}",
            _share(cell["yield"]),
            _share(cell["expected_yield"]),
            *(str(topics.get(state, "")) for state in STATE_STYLE),
            _share(cell["floor"]),
            f"{cell['pool']['left']:,}" if cell["pool"] else "",
        )
    notes = [
        f"{cell['domain']}/{cell['difficulty']} is stopped: {cell['stopped']}"
        for cell in found["cells"]
        if cell["stopped"]
    ]
    told = "expected: of the next prompts. floor: topics that bring less rest, until the others bring as little."
    if not found["steered"]:
        told = "This job is not steered (novelty.steer is off): all topics are asked about in turn."
    return Group(table, Text(told, style="dim"), *(Text(note, style="yellow") for note in notes))


def topics_view(topics: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A line for each topic of a cell, those that yield least first."""
    if not topics:
        return Text("This job is not steered: nothing is kept of its topics.")
    table = Table(box=None, pad_edge=False)
    table.add_column("topic")
    table.add_column("state")
    for heading in ("generated", "new", "recent yield", "holds at least"):
        table.add_column(heading, justify="right")
    for each in topics:
        table.add_row(
            escape(each["topic"]),
            f"[{STATE_STYLE[each['state']]}]{each['state']}[/]",
            f"{each['generated']:,}",
            f"{each['admitted']:,}",
            _share(each["recent_yield"]),
            "" if each["estimated"] is None else f"{each['estimated']:,}",
        )
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
