"""`questmill dedup-report`: the near-duplicates of a dataset, read with a progress bar, shown, and written to files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.connection import Client
from cli.near_page import near_page
from cli.new_file import require_absent, write_new
from cli.plain_words import ApiProblem, BadArgument

CLUSTERS_PRINTED = 10
MEMBERS_PRINTED = 4
PHASES = {"reading": "reading the dataset", "pairing": "looking for pairs", "comparing": "comparing pairs"}

Report = dict[str, Any]


def check_targets(paths: Sequence[Path], *, force: bool) -> None:
    """Raises BadArgument for a file of another kind, or one that is there already, before anything is done."""
    for path in paths:
        if path.suffix not in (".json", ".html"):
            raise BadArgument(f"{path} must end in .json or .html; that says what is written.")
        require_absent(path, force=force, what="another --out")


def read_near_report(client: Client, dataset: str, *, clusters: int) -> Report:
    """The report with its `clusters_shown`. On a terminal a bar shows how far it is. Raises ApiProblem."""
    report: Report = {}
    shown: list[Report] = []
    ended = False
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {phase: bars.add_task(text, total=None, visible=False) for phase, text in PHASES.items()}
        for line in client.near_duplicates(dataset, clusters=clusters):
            if at := line.get("progress"):
                bars.update(tasks[at["phase"]], completed=at["done"], total=at["total"], visible=True)
            elif "report" in line:
                report = line["report"]
            elif "cluster" in line:
                shown.append(line["cluster"])
            else:
                ended = "end" in line
    if not ended:
        raise ApiProblem("The report broke off before its end; nothing was changed. Run it again.")
    return {**report, "clusters_shown": shown}


def write_near_report(report: Report, path: Path) -> None:
    """As JSON, or as a page to read, by the ending of the path. The file appears only when it is whole."""
    content = near_page(report) if path.suffix == ".html" else json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    write_new(path, content.encode())


def near_view(report: Mapping[str, Any]) -> RenderableType:
    """The numbers and the largest clusters."""
    lines: list[RenderableType] = [Text(summary(report))]
    if told := report["told_apart"]:
        lines.append(Text("told apart: " + ", ".join(f"{count:,} by {guard}" for guard, count in told.items())))
    if report["sources"]:
        lines.append(Text("of " + ", ".join(f"{each['source']}: {each['questions']:,}" for each in report["sources"])))
    lines += [_cluster_table(cluster) for cluster in report["clusters_shown"][:CLUSTERS_PRINTED]]
    hidden = report["clusters"] - min(len(report["clusters_shown"]), CLUSTERS_PRINTED)
    if hidden > 0:
        lines.append(Text(f"... and {hidden:,} more clusters; write them with --out FILE.html or --out FILE.json"))
    return Group(*lines)


def summary(report: Mapping[str, Any]) -> str:
    """One sentence."""
    if not report["clusters"]:
        return f"{report['dataset']}: {report['questions']:,} questions, no near-duplicates among them"
    clusters = "1 cluster" if report["clusters"] == 1 else f"{report['clusters']:,} clusters"
    return (
        f"{report['dataset']}: {report['questions']:,} questions, {report['in_clusters']:,} of them in "
        f"{clusters} of near-duplicates, the largest of {report['largest']:,}"
    )


def _cluster_table(cluster: Mapping[str, Any]) -> Table:
    title = f"{cluster['size']:,} alike"
    table = Table(box=None, pad_edge=False, show_header=False, title=title, title_justify="left", expand=True)
    for name in ("similarity", "id", "cell"):
        table.add_column(name, no_wrap=True)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in cluster["members"][:MEMBERS_PRINTED]:
        text = " ".join(each["text"].split())
        cell = f"{each['domain']}/{each['difficulty']}"
        table.add_row(f"{each['similarity']:.2f}", str(each["id"]), escape(cell), escape(text))
    return table
