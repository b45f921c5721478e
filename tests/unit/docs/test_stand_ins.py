"""The tables of what is different from the pages: nothing in them is about nothing, and what they say is true."""

import re
from collections.abc import Sequence

import pytest

from tests.containers import stand_ins as of_containers
from tests.docs import preparing, stand_ins
from tests.docs.entries import Elsewhere, Entry, first
from tests.docs.pages import ROOT, read_pages
from tests.docs.session import with_stand_ins
from tests.docs.shell import ShellCommand
from tests.docs.test_commands import steps_of

PAGES = read_pages()
COMMANDS = [command for page in PAGES for _, command in steps_of(page)]
SHELL = [command for page in PAGES for language, command in steps_of(page) if language == "sh"]
CONTAINERS = [command for page in PAGES for command in of_containers.container_commands(page)]
PLACEHOLDER = re.compile(r"\.\.\.|path/to/|\b(?:JOB|DATASET|FILE|FOLDER|MODEL|NAME|BUNDLE|HOST|ID|YOUR_?[A-Z]*)\b")
BY_CONTAINERS = "tests/containers/test_commands.py"


def stale(table: tuple[Entry, ...], commands: Sequence[ShellCommand]) -> list[str]:
    return [f"{type(entry).__name__}: {entry.printed}" for entry in table if not any(map(entry.matches, commands))]


def test_each_entry_is_about_some_command() -> None:
    assert stale(stand_ins.TABLE, COMMANDS) == []
    assert stale(of_containers.TABLE, CONTAINERS) == []
    assert stale((Entry(printed="./run nonsense*", why="no page prints it"),), COMMANDS) == ["Entry: ./run nonsense*"]


@pytest.mark.parametrize("entry", stand_ins.ELSEWHERE, ids=lambda entry: entry.printed)
def test_what_is_said_to_run_elsewhere_does(entry: Elsewhere) -> None:
    if entry.file == BY_CONTAINERS:
        assert all(of_containers.takes(command) for command in COMMANDS if entry.matches(command))
    else:
        lines = [line.strip() for line in (ROOT / entry.file).read_text().splitlines()]
        assert entry.line in lines, f"{entry.file} has no line {entry.line!r}"


def test_no_placeholder_is_typed() -> None:
    apart = (*stand_ins.ELSEWHERE, *stand_ins.NOT_RUN)
    typed = {command: with_stand_ins(command) for command in SHELL if first(apart, command) is None}
    left = [f"{command.place}: {command.bare}" for command, text in typed.items() if PLACEHOLDER.search(text)]
    assert not left, "tests/docs/stand_ins.py says nothing of these:\n" + "\n".join(left)


def test_each_preparation_is_there() -> None:
    assert [need.preparation for need in stand_ins.NEEDS if not hasattr(preparing, need.preparation)] == []


def test_examples_that_have_to_print_something_are_on_a_page() -> None:
    assert stand_ins.PRINTED.keys() <= {page.name for page in PAGES}
