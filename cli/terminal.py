"""What each command needs of the outside: the API that it asks, and where it prints."""

import json
import sys
from typing import Any

from rich.console import Console, RenderableType

from cli.address import api_key, api_url
from cli.connection import Client
from shared.settings import load_settings

PIPE_WIDTH = 240


def open_client() -> Client:
    """A connection to the running API."""
    settings = load_settings()
    return Client(api_url(settings), api_key(settings))


def print_answer(
    data: Any, view: RenderableType, *, as_json: bool, soft_wrap: bool = False, markup: bool = True
) -> None:
    """The data as JSON, or the view of it for a person; with `soft_wrap` its lines stay as they are."""
    if as_json:
        sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
    else:
        console = Console(highlight=False)
        # A pipe has no width: do not fold what a program is going to read.
        shown = console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)
        shown.print(view, soft_wrap=soft_wrap, markup=markup)


def says_yes(question: str) -> bool:
    """Ask on stderr, where the question does not mix with the answer."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
