"""The report of `./run masks`, for a person."""

from rich.console import Group, RenderableType
from rich.table import Table

from training.masks import EXAMPLES, MEANING, Report


def masks_view(report: Report, tokenizer: str) -> RenderableType:
    """A line a cell, the shares of each difficulty, and what is wrong."""
    return Group(_cells(report), "", _shares(report), "", *_lines(report, tokenizer))


def _cells(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    for heading in ("rows", "trained tokens", "a row", "masked tokens"):
        table.add_column(heading, justify="right")
    for (domain, difficulty), cell in sorted(report.cells.items()):
        mean = cell.trained_tokens / cell.rows
        cells = (f"{cell.rows:,}", f"{cell.trained_tokens:,}", f"{mean:,.0f}", f"{cell.masked_tokens:,}")
        table.add_row(f"{domain}/{difficulty}", *cells)
    return table


def _shares(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("share of")
    for heading in ("rows", "prompt tokens", "completion tokens", "trained tokens"):
        table.add_column(heading, justify="right")
    for difficulty in sorted({key[1] for key in report.cells}):
        table.add_row(difficulty, *(f"{share:.1%}" for share in report.shares(difficulty).values()))
    return table


def _lines(report: Report, tokenizer: str) -> list[str]:
    lines = [f"{report.rows:,} rows with the tokenizer {tokenizer}; the longest has {report.longest:,} tokens."]
    if report.like_special:
        rows = f"{report.like_special:,} rows hold text that reads like a special token"
        lines.append(f"{rows}; here it stays text, in a trainer that parses it it would not.")
    if report.cut_otherwise:
        rows = f"Of {report.cut_otherwise:,} rows the chat template of question and answer together gives other ids"
        lines.append(f"{rows} of the same text, where the answer begins; here they are as at inference.")
    if behind := {count: rows for count, rows in report.after_eos.items() if count}:
        counts = ", ".join(f"{count} in {rows:,} rows" for count, rows in sorted(behind.items()))
        lines.append(f"The chat template writes tokens behind EOS, which are not trained: {counts}.")
    for kind, ids in report.wrong.items():
        lines.append(f"Wrong: {len(ids):,} rows {MEANING[kind]}. First ids: {', '.join(map(str, ids[:EXAMPLES]))}.")
    if not report.wrong_rows:
        lines.append("Every row trains its answer and EOS, and nothing else.")
    return lines
