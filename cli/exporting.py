"""`questmill export`: a dataset as one file, or as a bundle to train on."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from cli import bundle_options as of_bundle
from cli.arguments import AsJson, Dataset
from cli.exchange import format_of
from cli.new_file import require_absent
from cli.plain_words import BadArgument
from cli.terminal import open_client, print_answer

STDOUT = "-"


def export(  # noqa: PLR0917 - typer passes every argument by name
    dataset: Dataset,
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="The file to write, - for stdout, or the folder of a bundle.")
    ],
    file_format: Annotated[
        Literal["jsonl", "parquet", "bundle"] | None,
        typer.Option("--format", help="A file of rows, or a folder to train on; else as the file's name ends."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Another order than the dataset's own.")
    ] = None,
    include_contaminated: Annotated[
        bool, typer.Option("--include-contaminated", help="Also what benchmarks flag, in a field that says so.")
    ] = False,
    all_answers: Annotated[
        bool, typer.Option("--all-answers", help="Every answer of a question, in a field beside the first.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file, or the bundle, that is there already.")
    ] = False,
    test_share: of_bundle.TestShare = None,
    validation_share: of_bundle.ValidationShare = None,
    minimum: of_bundle.Minimum = None,
    test_topics: of_bundle.TestTopics = None,
    validation_topics: of_bundle.ValidationTopics = None,
    hold_out: of_bundle.HoldOut = None,
    validation_hold_out: of_bundle.ValidationHoldOut = None,
    split_seed: of_bundle.SplitSeed = None,
    tasks: of_bundle.TaskKind = None,
    support: of_bundle.Support = None,
    query: of_bundle.Query = None,
    openai: of_bundle.OpenAi = None,
    parent: of_bundle.ParentFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write the selected questions of a dataset, shuffled, to a file; or those with answers as a bundle to train on."""
    typed = {
        "test_share": test_share,
        "validation_share": validation_share,
        "minimum": minimum,
        "test_topics": test_topics,
        "validation_topics": validation_topics,
        "hold_out": hold_out,
        "validation_hold_out": validation_hold_out,
        "split_seed": split_seed,
        "tasks": tasks,
        "support": support,
        "query": query,
        "openai": openai,
        "parent": parent,
    }
    if file_format == "bundle":
        if include_contaminated or all_answers:
            raise BadArgument("A bundle has neither --include-contaminated nor --all-answers; leave them out.")
        if str(out) == STDOUT:
            raise BadArgument("A bundle is a folder; name one with --out.")
        _export_bundle(dataset, out, {**typed, "seed": seed}, force=force, as_json=as_json)
        return
    for name, value in typed.items():
        if value not in (None, []):
            raise BadArgument(f"--{name.replace('_', '-')} is an option of --format bundle; add that, or leave it out.")
    to_stdout = str(out) == STDOUT
    if to_stdout and as_json:
        raise BadArgument("With --out - the questions themselves go to stdout; leave --json out.")
    kind = format_of(out, file_format)
    if not to_stdout:
        require_absent(out, force=force, what="another --out")
    with open_client() as client:
        more = {"contaminated": include_contaminated, "all_answers": all_answers}
        size = client.export(dataset, kind, sys.stdout.buffer if to_stdout else out, seed=seed, **more)
        counted = client.dataset(dataset)
    left_out = 0 if include_contaminated else int(counted["contamination"]["left_out"])
    line = wrote_line("stdout" if to_stdout else str(out), size, counted, left_out=left_out)
    if to_stdout:
        sys.stdout.flush()
        sys.stderr.write(f"{line}\n")
        return
    print_answer({"path": str(out), "bytes": size, "left_out": left_out}, line, as_json=as_json, markup=False)


def wrote_line(where: str, size: int, dataset: Mapping[str, Any], *, left_out: int) -> str:
    """What was written, by the dataset's counts; where some are judged or answered, how many are not."""
    selected = int(dataset["questions"]["selected"])
    rows = selected - left_out
    told = [f"wrote {rows:,} {'row' if rows == 1 else 'rows'} to {where} ({size:,} bytes)"]
    if left_out:
        told.append(f"{left_out:,} contaminated questions were left out (--include-contaminated)")
    for name, what in (("validated", "judged"), ("answered", "answered")):
        done = sum(int(cell[name]) for cell in dataset["cells"])
        if 0 < done < selected:
            told.append(f"{selected - done:,} of {selected:,} selected questions are not {what}")
    return "; ".join(told)


def _export_bundle(dataset: str, out: Path, typed: dict[str, Any], *, force: bool, as_json: bool) -> None:
    from cli.bundling import bundle_line, make_bundle  # pyarrow takes a fifth of a second, which no other command needs

    with open_client() as client:
        manifest = make_bundle(client, dataset, out, typed, force=force)
    if not as_json:
        for warning in manifest["warnings"]:
            sys.stderr.write(f"warning: {warning}\n")
    told = ("rows", "episodes", "left_out", "parent", "rehearsal", "warnings")
    print_answer(
        {"path": str(out), **{name: manifest[name] for name in told}},
        escape(bundle_line(out, manifest)),
        as_json=as_json,
    )
