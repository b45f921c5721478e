"""Whether `./run` takes a command, asked of the parsers that it uses."""

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer
from _pytest.config import get_config
from typer._click.exceptions import BadParameter, ClickException, MissingParameter, NoArgsIsHelpError

from cli.app import app as questmill
from local.__main__ import make_parser as local_parser
from reference.__main__ import make_parser as reference_parser
from tests.docs.pages import ROOT
from tests.docs.shell import ShellCommand
from training.app import app as training

SCRIPT = ROOT / "run"
LOCAL = {"demo", "up", "worker", "backup", "restore", "keys"}
TRAINING = {"train", "masks"}
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
MENTION = re.compile(r"(?:[A-Z_]+=\S+ )*(?:~/questmill|\.)/run(?: (?P<words>.*))?")
OPERATORS = frozenset(";&|()<>")
# A suite's conftest may import what only its own environment has.
OPTION_ADDED = re.compile(r'addoption\(\s*"(--[a-z-]+)"')
PLACEHOLDER = re.compile(r"<?[A-Z][A-Z_]*>?")
YOURS = "your-"


class Refused(Exception):
    """There is no such command or option; the text says which."""


def require_accepted(words: Sequence[str], *, mention: bool = False) -> None:
    """Refuse what `./run` would not take. Raises Refused.

    A word in capitals stands for any value. A `mention` in a sentence may leave out what the command needs, and write
    `a|b` for a choice, `[--option]` for what may be left out, and `...`.
    """
    given = [_value(word.strip("[]").partition("|")[0] if mention else word) for word in words]
    if mention:
        given = [word for word in given if word not in {"...", ""}]
    name, *rest = given or ["help"]
    if name not in shell_commands():
        raise Refused(f"./run has no command {name!r}")
    _ask(name, rest, mention)


def mentioned_words(code: str) -> list[str] | None:
    """The words behind `./run` in inline code; None where it is no command of ours."""
    found = MENTION.fullmatch(code)
    if found is None or "<Tab>" in code:
        return None
    return shlex.split(found["words"] or "")


def shell_commands() -> set[str]:
    """What the script itself tells apart."""
    labels = re.findall(r"^((?:[a-z'-]+(?: \| )?)+)\)$", SCRIPT.read_text(), re.MULTILINE)
    return {label.strip("'") for labelled in labels for label in labelled.split(" | ")} - {""}


def run_commands_of(command: ShellCommand) -> Iterator[list[str]]:
    """The words behind each `./run` in a shell's command line."""
    lexer = shlex.shlex(command.bare, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] | None = None
    begins = True
    for word in lexer:
        if set(word) <= OPERATORS:
            if words is not None:
                yield words
            words, begins = None, True
        elif words is not None:
            words.append(word)
        elif begins and not ASSIGNMENT.match(word):
            begins = False
            words = [] if word.endswith("/run") else None
    if words is not None:
        yield words


def _value(word: str) -> str:
    """A placeholder as a value: a letter stands for a number, a word for a name."""
    if not PLACEHOLDER.fullmatch(word):
        return word
    return "1" if len(word) == 1 else f"{YOURS}{word.strip('<>').lower().replace('_', '-')}"


def _ask(name: str, rest: list[str], mention: bool) -> None:
    if name in LOCAL:
        _ask_argparse(local_parser(), [name, *rest], mention)
    elif name in {"questmill", "db"}:
        _ask_typer(questmill, rest if name == "questmill" else [name, *rest], mention)
    elif name in TRAINING:
        _ask_typer(training, [name, *rest], mention)
    elif name == "bench":
        _ask_bench(rest, mention)
    elif name == "reference":
        _ask_argparse(reference_parser(), rest, mention)
    elif name == "faults" or name.startswith("test"):
        _ask_pytest(name, rest)
    else:
        _ask_usage(name, rest)


def _ask_argparse(parser: argparse.ArgumentParser, words: list[str], mention: bool) -> None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parser.parse_args(words)
    except SystemExit as error:
        why = said.getvalue().strip().rpartition("error: ")[2]
        lacks = "required" in why or "expected one argument" in why
        if error.code and not (mention and lacks):
            raise Refused(why) from None


def _ask_bench(words: list[str], mention: bool) -> None:
    from bench.__main__ import MEASURES, make_parser

    _ask_argparse(make_parser(), words, mention)
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        named = make_parser().parse_args(words).names
        if unknown := {name for name in named if not name.startswith(YOURS)} - set(MEASURES):
            raise Refused(f"there is no measure {', '.join(unknown)}")


def _ask_typer(app: typer.Typer, words: list[str], mention: bool) -> None:
    """Refuse what a command line of typer's would not take; files need not be there. Raises Refused."""
    command = typer.main.get_command(app)
    _disarm(command)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            command.main(list(words), standalone_mode=False)
    except NoArgsIsHelpError:
        pass  # alone it shows its help
    except MissingParameter as error:
        if not mention:
            raise Refused(error.format_message()) from None
    except BadParameter as error:
        if "does not exist" not in error.format_message():
            raise Refused(error.format_message()) from None
    except ClickException as error:
        if not (mention and "requires an argument" in error.format_message()):
            raise Refused(error.format_message()) from None


def _disarm(command: Any) -> None:
    """What is asked for is read and not done."""
    for each in getattr(command, "commands", {}).values():
        _disarm(each)
    command.callback = lambda **_: None


def _ask_pytest(name: str, words: list[str]) -> None:
    """pytest's own options, and those that the suite's conftest adds; a path that is named is there."""
    parser = get_config()._parser
    conftest = ROOT / "tests" / name.removeprefix("test-") / "conftest.py"
    for option in OPTION_ADDED.findall(conftest.read_text() if conftest.is_file() else ""):
        parser.addoption(option)
    try:
        parsed = parser.parse(words)
    except pytest.UsageError as error:
        raise Refused(str(error)) from None
    for path in parsed.file_or_dir:
        if not path.startswith(YOURS) and not (ROOT / path.partition("::")[0]).exists():
            raise Refused(f"there is no {path}")


def _ask_usage(name: str, words: list[str]) -> None:
    """What the script itself reads: as its own list of commands shows it."""
    shown = re.search(rf"^\./run {name}(?P<takes>(?: \S+)*)", SCRIPT.read_text(), re.MULTILINE)
    takes = re.findall(r"[\w-]+", shown["takes"] if shown else "")
    places = sum(not each.startswith("-") for each in takes)
    for word in words:
        if word.startswith("-") and word not in takes:
            raise Refused(f"./run {name} has no option {word}")
    if len([word for word in words if not word.startswith("-")]) > places:
        raise Refused(f"./run {name} takes no {words[-1]!r}")
