"""`questmill pause`, `resume` and `cancel`: one job, or all of them at once."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from cli.arguments import AsJson, Job
from cli.completion import complete_jobs
from cli.plain_words import ApiProblem, BadArgument
from cli.resolve import find_job
from cli.terminal import open_client, print_answer
from shared.database.states import PAUSED_BY_REQUEST

CONFLICT = 409
TOO_MANY = 429

OneJob = Annotated[
    str | None,
    typer.Argument(
        metavar="[JOB]",
        help="An id, the beginning of one, or a dataset (its latest job).",
        autocompletion=complete_jobs,
    ),
]


def pause(
    job: OneJob = None,
    every: Annotated[bool, typer.Option("--all", help="Pause all jobs that run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start nothing new for a job; what is in flight is kept."""
    check_choice(job, every=every)
    with open_client() as client:
        if job is not None:
            print_state(client.pause(find_job(client, job)), as_json=as_json)
            return
        running = [each for each in client.jobs() if each["state"] == "running"]
        change_each(running, client.pause, "No job runs.", as_json=as_json)


def resume(
    job: OneJob = None,
    budget: Annotated[str | None, typer.Option(metavar="USD", help="The new budget in dollars, in all.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Resume all jobs that a person has paused; not those that Questmill has.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a paused job go on."""
    check_choice(job, every=every)
    if every and budget is not None:
        raise BadArgument("A new budget is for one job: name it instead of --all.")
    with open_client() as client:
        if job is not None:
            print_state(client.resume(find_job(client, job), budget_usd=budget), as_json=as_json)
            return
        paused = [each for each in client.jobs() if each["state"] == "paused" and each["reason"] == PAUSED_BY_REQUEST]
        change_each(paused, client.resume, "No job was paused by a person.", as_json=as_json)


def cancel(job: Job, as_json: AsJson = False) -> None:
    """End a job; the questions it has made stay."""
    with open_client() as client:
        print_state(client.cancel(find_job(client, job)), as_json=as_json)


def check_choice(job: str | None, *, every: bool) -> None:
    """One job or all of them, never a guess. Raises BadArgument."""
    if (job is None) is not every:
        raise BadArgument("Name either a job or --all.")


def print_state(job: Mapping[str, Any], *, as_json: bool) -> None:
    """What a job has come to."""
    print_answer(job, state_line(job), as_json=as_json)


def state_line(job: Mapping[str, Any]) -> str:
    """A job's state and the reason for it, in a line."""
    simulated = " (rehearsal)" if job.get("rehearsal") else ""
    reason = f": {job['reason']}" if job.get("reason") else ""
    return escape(f"job {job['id']} for dataset {job['dataset']} is {job['state']}{simulated}{reason}")


def change_each(
    jobs: Sequence[Mapping[str, Any]], change: Callable[[str], Mapping[str, Any]], none: str, *, as_json: bool
) -> None:
    """Change job by job and print what they have come to; `none` says that there was none.

    One that is in another state meanwhile is left alone. One that cannot be changed keeps no other from it; at
    the end ApiProblem names all of these.
    """
    changed: list[Mapping[str, Any]] = []
    left: list[str] = []
    for job in jobs:
        try:
            changed.append(_patiently(change, job["id"]))
        except ApiProblem as problem:
            if problem.status != CONFLICT:
                left.append(f"job {job['id']}: {problem}")
    print_answer(changed, "\n".join(map(state_line, changed)) or ("" if left else none), as_json=as_json)
    if left:
        raise ApiProblem(f"{len(left)} of {len(jobs)} jobs were not changed.\n" + "\n".join(left))


def _patiently(change: Callable[[str], Mapping[str, Any]], job_id: str) -> Mapping[str, Any]:
    while True:
        try:
            return change(job_id)
        except ApiProblem as problem:
            if problem.status != TOO_MANY or problem.retry_after_seconds is None:
                raise
            sys.stderr.write(f"{problem} Waiting.\n")
            time.sleep(problem.retry_after_seconds)
