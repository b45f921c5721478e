"""`questmill decontaminate`: benchmarks by name or as files, compared with a dataset one after the other."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.benchmarks import KNOWN, read_known
from cli.checking import unpack_text
from cli.connection import Client
from cli.exchange import Json
from cli.plain_words import BadArgument
from shared.database.states import MatchKind

MATCHES_SHOWN = 10
_ENDINGS = re.compile(r"\.(?:gz|jsonl?|txt|ndjson)\Z")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


def decontaminate_all(
    client: Client, dataset: str, against: Sequence[str], *, name: str | None, discard: bool
) -> list[Json]:
    """One report per benchmark. Raises BadArgument, before anything is loaded, for one that cannot be read."""
    if not against:
        raise BadArgument(f"Say against what: a file, or one of {', '.join(KNOWN)}.")
    if name is not None and len(against) > 1:
        raise BadArgument("--name names one benchmark; give one file with it.")
    uploads = [_open(each) for each in against]
    return [
        client.decontaminate(dataset, name or own_name, content, source=source, discard=discard)
        for own_name, source, content in uploads
    ]


def _open(given: str) -> tuple[str, str, bytes]:
    """Name, source and content."""
    if given in KNOWN:
        known = read_known(given)
        return known.name, known.source, known.to_jsonl()
    path = Path(given)
    if not path.is_file():
        raise BadArgument(f"{given} is no file, and no benchmark known by name ({', '.join(KNOWN)}).")
    raw = path.read_bytes()
    unpack_text(raw, given)
    return benchmark_name(path), path.name[:200], raw


def benchmark_name(path: Path) -> str:
    """What a file is called as a benchmark: its name without endings, folded to what a name may hold."""
    name = path.name.lower()
    while bare := _ENDINGS.sub("", name):
        if bare == name:
            break
        name = bare
    return _NOT_IN_NAMES.sub("-", name).strip("-._")[:64] or "benchmark"


def decontaminated_view(report: Mapping[str, Any]) -> RenderableType:
    """What a benchmark found."""
    read = ", ".join(f"{report[name]:,} {name}" for name in ("read", "items", "repeats", "invalid"))
    fields = ", ".join(f"{count:,} from {name}" for name, count in report["fields"].items())
    unchanged = "" if report["changed"] else "; loaded already"
    parts: list[RenderableType] = [Text(f"{report['benchmark']}: {read} ({fields}){unchanged}")]
    parts += [Text(f"line {each['line']}: {each['error']}", style="yellow") for each in report["problems"]]
    hidden = report["invalid"] - len(report["problems"])
    if hidden > 0:
        parts.append(Text(f"... and {hidden:,} more", style="yellow"))
    total = sum(report["flagged"].values())
    kinds = ", ".join(f"{report['flagged'][kind]:,} {kind}" for kind in MatchKind if kind in report["flagged"])
    cleared = f"; {report['cleared']:,} cleared" if report["cleared"] else ""
    parts.append(
        Text(f"{report['compared']:,} questions compared, {total:,} flagged{f' ({kinds})' if kinds else ''}{cleared}")
    )
    if report["matches"]:
        parts.append(_matches(report["matches"][:MATCHES_SHOWN]))
        if total > MATCHES_SHOWN:
            parts.append(Text(f"... and {total - MATCHES_SHOWN:,} more"))
    parts += [Text(line) for line in _what_follows(report)]
    return Group(*parts)


def _matches(matches: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("question", "is like", "kind", "score", "text"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for each in matches:
        score = f"{each['score']:.2f}"
        table.add_row(
            str(each["id"]), Text(each["item"]), each["kind"], score, Text(" ".join(each["question"].split()))
        )
    return table


def _what_follows(report: Mapping[str, Any]) -> list[str]:
    dataset = report["dataset"]
    lines = ["From now on, candidates like its items are refused as contaminated."]
    if not report["compared"]:
        lines.append(f"{dataset} has no questions yet; if it should, look at how its name is written.")
    if report["discarded"]:
        lines.append(
            f"{report['discarded']:,} were discarded; the next job on {dataset} fills their places, "
            "and POST /v1/questions/ID/restore takes one back."
        )
    if report["left_out"]:
        places = ", ".join(
            f"{each['selected']:,} {each['domain']}/{each['difficulty']}"
            for each in report["cells"]
            if each["selected"]
        )
        flagging = ", ".join(f"{count:,} by {name}" for name, count in report["left_out_by"].items())
        lines.append(
            f"An export leaves out {report['left_out']:,} selected questions ({places}), flagged {flagging}. "
            f"To fill their places run {_again(report)} with --discard, then the job; a false alarm is cleared with "
            "POST /v1/questions/ID/clear."
        )
    return lines


def _again(report: Mapping[str, Any]) -> str:
    """Which comparison takes out what is left out: this one, or that with the sets that flag it."""
    others = ", ".join(name for name in report["left_out_by"] if name != report["benchmark"])
    if report["benchmark"] not in report["left_out_by"]:
        return f"this against {others}"
    return f"this again, and against {others}," if others else "this again"
