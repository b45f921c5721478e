"""`questmill completion SHELL`: the script that a shell needs, and what it is told when a person presses Tab."""

import os
import shlex
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.address import api_key, api_url
from cli.connection import Client
from cli.plain_words import ApiProblem
from shared.errors import InvalidInput
from shared.settings import load_settings

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).with_name("completion_scripts")
# The line as far as it is typed, "questmill" in front, in the environment of the process that is asked.
TYPED_LINE = "_QUESTMILL_COMPLETE"
# Who waits for a word to complete does not wait for a slow API.
ANSWER_SECONDS = 0.3


class Shell(StrEnum):
    """A shell that can be told how to complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print a script that lets the Tab key complete commands, options, jobs and datasets: docs/client.md."""
    typer.echo(completion_script(shell), nl=False)


def completion_script(shell: Shell) -> str:
    """The script for a shell. It completes after this clone's `./run`, and after an alias called `questmill`."""
    script = (SCRIPTS / f"questmill.{shell}").read_text(encoding="utf-8")
    return script.replace("@RUN@", shlex.quote(str(ROOT / "run")))


def print_completions(app: typer.Typer, line: str) -> None:
    """One possible word a line, a tab and what it means behind it, for a line as far as it is typed."""
    from typer._completion_classes import completion_init

    # Of typer's dialects fish's is the plain one; our scripts read it in every shell.
    completion_init()
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    os.environ["_TYPER_COMPLETE_ARGS"] = line
    os.environ[TYPED_LINE] = "complete_fish"
    app(prog_name="questmill", complete_var=TYPED_LINE)


def complete_jobs(incomplete: str) -> list[tuple[str, str]]:
    """Datasets that have jobs; ids too as soon as one is begun."""
    return _matching(incomplete, lambda client: _jobs(client, with_ids=bool(incomplete)))


def complete_datasets(incomplete: str) -> list[tuple[str, str]]:
    """The datasets' names."""
    return _matching(incomplete, lambda client: ((each["name"], "dataset") for each in client.datasets()))


def _jobs(client: Client, *, with_ids: bool) -> Iterable[tuple[str, str]]:
    found: dict[str, str] = {}
    for job in client.newest_jobs():
        found.setdefault(job["dataset"], f"its latest job is {job['state']}")
        if with_ids:
            found[job["id"]] = f"job of {job['dataset']}, {job['state']}"
    return found.items()


def _matching(incomplete: str, ask: Callable[[Client], Iterable[tuple[str, str]]]) -> list[tuple[str, str]]:
    """What the API knows, if it says so in time; nothing otherwise, and no word about it on the person's line."""
    answered: list[tuple[str, str]] = []
    try:
        settings = load_settings()
        client = Client(api_url(settings), api_key(settings))
    except (InvalidInput, ApiProblem):
        return []

    def find() -> None:
        with client, suppress(ApiProblem):
            answered.extend(ask(client))

    asking = threading.Thread(target=find, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    return [(word, meaning) for word, meaning in answered if word.startswith(incomplete)]
