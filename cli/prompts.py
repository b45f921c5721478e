"""What the client prints of the prompts: their versions, their files, and how two versions differ."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import unified_diff
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.connection import Client
from cli.plain_words import BadArgument
from cli.resolve import find_job
from shared.questions.wording import STAGES

Json = Mapping[str, Any]

_VERSION = re.compile(rf"(?:{'|'.join(STAGES)})-\d+-[0-9a-f]+(?:\+.*)?")
ATLAS = "atlas/"
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def find_prompts(client: Client, wanted: str) -> dict[str, Any]:
    """The prompts of a version, or a stage's present ones. Raises BadArgument, or ApiProblem for no such version."""
    if wanted in STAGES:
        return client.prompt(_current(client, wanted))
    if not _VERSION.fullmatch(wanted):
        raise BadArgument(
            f"{wanted} is neither a stage ({', '.join(STAGES)}) nor a version; list them with: questmill prompts show"
        )
    return client.prompt(wanted)


def compare_prompts(client: Client, old: str, new: str | None) -> list[dict[str, Any]]:
    """What changed from `old` (a stage, a version, or a job with all its versions) to `new`.

    Without `new` each is compared with its stage's present version. Raises BadArgument.
    """
    versions = [old] if old in STAGES or _VERSION.fullmatch(old) else _versions_of_job(client, old)
    target = None if new is None else find_prompts(client, new)
    compared = []
    for version in versions:
        each = find_prompts(client, version)
        if target is not None and each["stage"] != target["stage"] and len(versions) > 1:
            continue  # of a job's versions, those of another stage
        after = target or client.prompt(_current(client, each["stage"]))
        if each["stage"] != after["stage"]:
            raise BadArgument(f"{each['version']} and {after['version']} are of different stages.")
        changed = [{"file": name, "diff": diff} for name, diff in _compare_files(each, after)]
        compared.append({"stage": each["stage"], "old": each["version"], "new": after["version"], "files": changed})
    if not compared:
        raise BadArgument(f"{old} has no prompts of the stage of {new}.")
    return compared


def versions_view(items: Sequence[Json]) -> RenderableType:
    """A line for each version."""
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "version", "first seen", ""):
        table.add_column(heading, no_wrap=True)
    for each in items:
        used = str(each["first_used_at"] or "never")[:19].replace("T", " ")
        table.add_row(each["stage"], each["version"], used, "current" if each["current"] else "")
    return table


def files_view(found: Json) -> RenderableType:
    """The files of one version, those of the atlas by name alone: there are many, and they are long."""
    current = "current" if found["current"] else "no longer used"
    parts = [Text(f"{found['version']} ({found['stage']}, {current})", style="bold")]
    for name, text in found["files"].items():
        if not name.startswith(ATLAS):
            parts += [Text(f"\n=== {name}", style="bold"), Text(text.rstrip("\n"))]
    if atlas := [name.removeprefix(ATLAS) for name in found["files"] if name.startswith(ATLAS)]:
        parts.append(Text(f"\nand the atlas, which --json shows: {', '.join(atlas)}", style="dim"))
    return Group(*parts)


def diff_view(compared: Sequence[Json]) -> RenderableType:
    """Unified diffs, file by file."""
    parts: list[Text] = []
    for each in compared:
        if each["old"] == each["new"]:
            parts.append(Text(f"{each['old']} is the same version"))
        elif not each["files"]:
            parts.append(Text(f"{each['old']} and {each['new']} have the same files"))
        for file in each["files"]:
            for line in file["diff"].split("\n"):
                style = "bold" if line.startswith(("--- ", "+++ ")) else _STYLES.get(line[:1], "")
                parts.append(Text(line, style=style))
    return Group(*parts)


def _current(client: Client, stage: str) -> str:
    return next(str(each["version"]) for each in client.prompts() if each["stage"] == stage and each["current"])


def _versions_of_job(client: Client, wanted: str) -> list[str]:
    found = client.prompts(job_id=find_job(client, wanted))
    if not found:
        raise BadArgument(f"Job {wanted} has made no call yet, so it has no prompts to compare.")
    return [str(each["version"]) for each in found]


def _compare_files(before: Json, after: Json) -> Iterator[tuple[str, str]]:
    """The name and the unified diff of every file that differs."""
    old, new = before["files"], after["files"]
    for name in sorted({*old, *new}):
        lines = unified_diff(
            old.get(name, "").splitlines(),
            new.get(name, "").splitlines(),
            f"{before['version']}/{name}" if name in old else "/dev/null",
            f"{after['version']}/{name}" if name in new else "/dev/null",
            lineterm="",
        )
        if old.get(name) != new.get(name):
            yield name, "\n".join(lines)
