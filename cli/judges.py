"""`questmill verdicts`: what the judges of a job said, and how far they agree."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.arguments import AsJson, Job
from cli.resolve import find_job
from cli.terminal import open_client, print_answer
from cli.wording import count, name_criterion


def verdicts(
    job: Job,
    by_cell: Annotated[bool, typer.Option("--by-cell", help="Also a line for each cell.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a job's judges accepted and rejected, and how far they agree."""
    with open_client() as client:
        found = client.verdicts(find_job(client, job), by_cell=by_cell)
    print_answer(found, verdicts_view(found), as_json=as_json)


def verdicts_view(found: Mapping[str, Any]) -> RenderableType:
    """The counts, a line for each criterion, and perhaps one for each cell."""
    if not found["votes"]:
        return Text("This job validates nothing: its stages do not include validate.")
    if not found["verdicts"]:
        return Text("No verdicts yet.")
    waiting = f", {found['open']:,} waiting for votes" if found["open"] else ""
    parts: list[RenderableType] = [
        Text(
            f"{count(found['judged'], 'question')} judged by {count(found['verdicts'], 'verdict')}: "
            f"{found['accepted']:,} accepted, {found['rejected']:,} rejected{waiting}"
        )
    ]
    if found["differing"] is not None:
        kappa = "undefined, all votes are the same" if found["kappa"] is None else f"{found['kappa']:.3f}"
        parts.append(Text(f"votes differ on {found['differing']:.1%} of the questions; Fleiss' kappa {kappa}"))
    parts.append(_criteria(found))
    if cells := found.get("cells"):
        parts.append(_cells(cells))
    return Group(*parts)


def _criteria(found: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("criterion")
    for heading in ("mean score", "mean spread", "rejected for it"):
        table.add_column(heading, justify="right")
    for name, each in found["criteria"].items():
        rejected = found["rejected_for"].get(name, 0)
        table.add_row(name_criterion(name), _number(each["mean"]), _number(each["spread"]), f"{rejected:,}")
    return table


def _cells(cells: list[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    for heading in ("judged", "accepted", "rejected", "open", "differ", "kappa"):
        table.add_column(heading, justify="right")
    for cell in cells:
        counts = (f"{cell[name]:,}" for name in ("judged", "accepted", "rejected", "open"))
        differ = "" if cell["differing"] is None else f"{cell['differing']:.1%}"
        table.add_row(escape(f"{cell['domain']}/{cell['difficulty']}"), *counts, differ, _number(cell["kappa"]))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
