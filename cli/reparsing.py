"""`questmill reparse`: show what today's parsers would find in stored replies, ask, take it in."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from cli.arguments import AsJson, Job
from cli.connection import Client
from cli.exchange import Json
from cli.plain_words import BadArgument
from cli.resolve import find_job
from cli.terminal import open_client, print_answer, says_yes

NOBODY_TO_ASK = (
    "There is no terminal to ask at. See what would be gained with --dry-run, then repeat the command with --yes."
)


def reparse(
    job: Job,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be gained.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a job's stored replies again with today's parsers, and take in what was missed. Costs nothing."""
    with open_client() as client:
        job_id = find_job(client, job)
        told = client.reparse(job_id, dry_run=True) if dry_run else _reparse_carefully(client, job_id, yes=yes)
    if told is None:
        sys.stderr.write("Nothing was taken in.\n")
        raise typer.Exit(1)
    print_answer(told, reparse_view(told), as_json=as_json)


def _reparse_carefully(client: Client, job_id: str, *, yes: bool) -> Json | None:
    """None when a person who was shown what would be gained says no. Raises BadArgument when nobody can."""
    if not yes:
        if not sys.stdin.isatty():
            raise BadArgument(NOBODY_TO_ASK)
        planned = client.reparse(job_id, dry_run=True)
        if not any(planned["gained"].values()):
            return planned
        Console(stderr=True, highlight=False).print(reparse_view(planned))
        if not says_yes("Take this in?"):
            return None
    return client.reparse(job_id)


def reparse_view(told: Mapping[str, Any]) -> RenderableType:
    """What was gained, or would be."""
    would = "would be " if told["dry_run"] else ""
    pruned = f"; {told['pruned']:,} more are pruned" if told["pruned"] else ""
    replies = "1 reply" if told["read"] == 1 else f"{told['read']:,} replies"
    lines = [Text(f"{replies} read again, {told['unchanged']:,} gave nothing new{pruned}")]
    if not told["read"]:
        lines = [Text(f"no reply to read again, for none was read before{pruned}")]
    gained = told["gained"]
    if gained["questions"]:
        refused = "".join(f", {count:,} refused: {reason}" for reason, count in told["refused"].items())
        admitted = f"{told['admitted']:,} {would}admitted to the reserve"
        lines.append(Text(f"{gained['questions']:,} candidates gained: {admitted}{refused}"))
    results = ("verdicts", "answers")
    lines += [Text(f"{gained[name]:,} {name} {would}gained") for name in results if gained[name]]
    settled = ", ".join(f"{count:,} {would}{name}" for name, count in told["settled"].items() if count)
    if settled:
        lines.append(Text(f"questions that this decides: {settled}"))
    return Group(*lines)
