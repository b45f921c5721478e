"""`questmill prune`: show what would go, ask, let it go."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from cli.connection import Client
from cli.exchange import Json
from cli.plain_words import BadArgument
from cli.terminal import says_yes

NOBODY_TO_ASK = (
    "Pruning deletes for good, and there is no terminal to ask at. "
    "See what would go with --dry-run, then repeat the command with --yes."
)


def prune_carefully(client: Client, raw_days: int | None, ledger_days: int | None, *, yes: bool) -> Json | None:
    """Prune, unless a person who was shown what would go says no: then None. Raises BadArgument when nobody can."""
    if not yes:
        if not sys.stdin.isatty():
            raise BadArgument(NOBODY_TO_ASK)
        planned = client.prune(raw_days=raw_days, ledger_days=ledger_days, dry_run=True)
        if is_nothing(planned):
            return planned
        # On stderr, like the question: what goes to stdout is the answer.
        Console(stderr=True, highlight=False).print(prune_view(planned))
        if not says_yes("This cannot be undone. Prune now?"):
            return None
    return client.prune(raw_days=raw_days, ledger_days=ledger_days)


def is_nothing(pruned: Mapping[str, Any]) -> bool:
    """Whether a prune does not change, or did not change, anything."""
    return not (pruned["raw"]["jobs"] or pruned["archived"]["jobs"])


def prune_view(pruned: Mapping[str, Any]) -> RenderableType:
    """What was pruned, or would be."""
    raw, archived, skipped = pruned["raw"], pruned["archived"], pruned["skipped"]
    would = "would be " if pruned["dry_run"] else ""
    lines = []
    if is_nothing(pruned):
        lines.append(Text("nothing to prune: no job that has ended is old enough, or all of them are pruned already"))
    if raw["jobs"]:
        unread = f", {raw['unparsed']:,} of them paid for and never read" if raw["unparsed"] else ""
        lines.append(
            Text(
                f"raw replies of {_jobs(raw['jobs'])} {would}cleared: {raw['calls']:,} ({raw['bytes']:,} bytes){unread}"
            )
        )
    if archived["jobs"]:
        rows = f"{archived['calls']:,} calls and {archived['batches']:,} batches {would}deleted"
        lines.append(Text(f"{_jobs(archived['jobs'])} {would}archived: {rows}; questions, counts and costs stay"))
    lines += [Text(f"job {each['job_id']} is not archived: {each['reason']}", style="yellow") for each in skipped]
    return Group(*lines)


def _jobs(count: int) -> str:
    return f"{count:,} job" if count == 1 else f"{count:,} jobs"
