"""The demo's second look at what it made, and its report."""

import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from cli.tables import format_seconds, stages_table
from local.usage import Usage
from shared.money import format_usd

QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e", '"') | dict.fromkeys("\u2018\u2019", "'"))


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """What an exported file holds, counted from the file alone, and what is wrong with it."""

    rows: int
    cells: Mapping[tuple[str, str], int]
    tokens: Mapping[str, int]
    duplicates: int
    unanswered: int
    longest_run: int
    problems: tuple[str, ...]


def check_export(
    jsonl: Path, parquet: Path, planned: Sequence[Mapping[str, Any]], *, answered: bool = False
) -> ExportCheck:
    """Count the files and compare them with the planned cells and with each other; `answered`: so must all be."""
    cells: Counter[tuple[str, str]] = Counter()
    tokens: Counter[str] = Counter()
    domains, ids, texts, unanswered = [], [], set(), 0
    for row in _rows(jsonl):
        cells[row["domain"], row["difficulty"]] += 1
        tokens[row["difficulty"]] += row["prompt_tokens"]
        domains.append(row["domain"])
        ids.append(row["id"])
        texts.add(_folded(row["question"]))
        unanswered += not (row.get("answer") or "").strip()
    problems = [
        f"{cell['domain']}/{cell['difficulty']}: {cell['target']:,} planned, {found:,} exported"
        for cell in planned
        if (found := cells[cell["domain"], cell["difficulty"]]) != cell["target"]
    ]
    if duplicates := len(ids) - len(texts):
        problems.append(f"{duplicates:,} questions repeat another one")
    if answered and unanswered:
        problems.append(f"{unanswered:,} questions have no answer")
    if pyarrow.parquet.read_table(parquet, columns=["id"]).column("id").to_pylist() != ids:
        problems.append(f"{parquet.name} does not hold the same questions in the same order")
    runs = (sum(1 for _ in run) for _, run in groupby(domains))
    return ExportCheck(len(ids), cells, tokens, duplicates, unanswered, max(runs, default=0), tuple(problems))


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One run of the demo: the job at its end, its progress when this run began, and what the run took."""

    job: Mapping[str, Any]
    before: Mapping[str, Any]
    seconds: float
    usage: Mapping[str, Usage]
    jsonl: Path
    parquet: Path
    rehearsal: bool


def print_report(console: Console, run: DemoRun, check: ExportCheck) -> None:
    """Say what was asked, what came of it and what it took."""
    job, before, seconds, usage, rehearsal = run.job, run.before, run.seconds, run.usage, run.rehearsal
    progress = job["progress"]
    ending = f": {job['reason']}" if job["reason"] else ""
    console.rule("Report (rehearsal: the models were simulated)" if rehearsal else "Report")
    console.print(f"job {job['id']} on the dataset {job['dataset']}: [bold]{job['state']}[/]{ending}")
    console.print(_cell_table(job["plan"]["cells"], check))
    console.print(_shares_table(job, check))
    console.print(f"duplicates: {check.duplicates:,}; longest run of one domain: {check.longest_run}")
    for problem in check.problems:
        console.print(f"[red]not as planned: {problem}[/]")
    calls = progress["calls"]
    console.print(
        f"calls: {calls['sent']:,} sent, {calls['ok']:,} ok, {calls['failed']:,} failed, {calls['retried']:,} retried"
    )
    for title, key in (
        ("refused candidates", "rejected"),
        ("repaired replies", "repaired"),
        ("calls by outcome", "outcomes"),
    ):
        if counts := progress.get(key):
            console.print(f"{title}: " + ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())))
    if len(progress["stages"]) > 1:
        console.print(stages_table(progress["stages"]))
    cost = f"{format_usd(progress['cost_usd'])}" + (" (simulated: nothing was paid)" if rehearsal else "")
    made = progress["selected"] - before["selected"]
    console.print(f"cost: {cost}")
    console.print(f"{made:,} questions in {format_seconds(seconds)}: {60 * made / max(seconds, 0.1):,.0f} a minute")
    console.print(_usage_table(usage))
    sent = calls["sent"] - before["calls"]["sent"]
    if sent:
        cpu = sum(used.cpu_seconds for name, used in usage.items() if name.startswith("worker "))
        console.print(f"workers: {1000 * cpu / sent:.1f} CPU s per 1,000 calls, their start not counted")
    for path in (run.jsonl, run.parquet):
        console.print(f"written: {path} ({path.stat().st_size / 1e6:,.1f} MB)", soft_wrap=True)


def _rows(jsonl: Path) -> Iterator[dict[str, Any]]:
    with jsonl.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _folded(text: str) -> str:
    """Case, spacing and kinds of quotes do not make another question. On purpose not the code that admits."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(QUOTES)
    return re.sub(r"\s+", " ", plain).strip()


def _cell_table(planned: Sequence[Mapping[str, Any]], check: ExportCheck) -> Table:
    difficulties = list(dict.fromkeys(cell["difficulty"] for cell in planned))
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("domain", "total", footer_style="bold")
    for difficulty in difficulties:
        of_difficulty = [cell for cell in planned if cell["difficulty"] == difficulty]
        exported = sum(check.cells.get((cell["domain"], difficulty), 0) for cell in of_difficulty)
        sums = (sum(cell["target"] for cell in of_difficulty), exported)
        for name, total in zip(("plan", "exported"), sums, strict=True):
            table.add_column(f"{difficulty}\n{name}", f"{total:,}", justify="right", footer_style="bold")
    by_cell = {(cell["domain"], cell["difficulty"]): cell["target"] for cell in planned}
    for domain in dict.fromkeys(cell["domain"] for cell in planned):
        row = []
        for difficulty in difficulties:
            target, found = by_cell.get((domain, difficulty), 0), check.cells.get((domain, difficulty), 0)
            row += [f"{target:,}", f"{found:,}" if found == target else f"[red]{found:,}[/]"]
        table.add_row(domain, *row)
    return table


def _shares_table(job: Mapping[str, Any], check: ExportCheck) -> Table:
    """Token shares: asked for, of the best integers, of the exported counts with the mix's means, and as counted."""
    table = Table(box=None, pad_edge=False)
    for name in ("token share", "asked", "best integers", "exported, by the mix's means", "exported, tokens counted"):
        table.add_column(name, justify="left" if name == "token share" else "right")
    mix = job["spec"]["mix"]
    own = mix.get("mean_tokens") or {}
    by_means: dict[str, float] = defaultdict(float)
    for (domain, difficulty), count in check.cells.items():
        mean = own.get(domain, {}).get(difficulty, mix["difficulties"][difficulty]["mean_tokens"])
        by_means[difficulty] += count * float(mean)
    for name, each in mix["difficulties"].items():
        table.add_row(
            name,
            f"{float(each['token_share']):.3%}",
            f"{float(job['plan']['totals']['token_shares'][name]):.3%}",
            f"{by_means[name] / max(sum(by_means.values()), 1):.3%}",
            f"{check.tokens.get(name, 0) / max(sum(check.tokens.values()), 1):.3%}",
        )
    return table


def _usage_table(usage: Mapping[str, Usage]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("process")
    table.add_column("CPU s", justify="right")
    table.add_column("peak MB", justify="right")
    for name, used in usage.items():
        table.add_row(name, f"{used.cpu_seconds:.1f}", f"{used.peak_bytes / 1e6:,.0f}")
    return table
