"""What an entry of the table can say: tests/docs/stand_ins.py. In a pattern `*` stands for anything."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tests.docs.shell import ShellCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that is different from the page for the commands like `printed`, and why; on every page or on one."""

    printed: str
    why: str
    page: str = "*"

    def matches(self, command: ShellCommand) -> bool:
        """Whether this is about the command as a whole, its comment aside."""
        return _like(self.page, command.page) and _like(self.printed, command.bare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead(Entry):
    """The text `printed`, in whatever command holds it, is replaced by `run`; a `whole` one only if it is all of it."""

    run: str
    whole: bool = False

    def matches(self, command: ShellCommand) -> bool:
        """Whether the command is or holds the text."""
        held = self.printed == command.bare if self.whole else self.printed in command.bare
        return held and _like(self.page, command.page)

    def replace_in(self, text: str) -> str:
        """The command with what is run instead."""
        return self.run if self.whole else text.replace(self.printed, self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats(Entry):
    """`printed` within a command stands for what a command before it has said: the last that is like `said`."""

    said: str

    def matches(self, command: ShellCommand) -> bool:
        """Whether the command holds the text."""
        return self.printed in command.bare and _like(self.page, command.page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks(Entry):
    """It is run at a terminal, and told `answer` at its question, which it has to ask unless it `may_not`."""

    answer: str = "y"
    may_not: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays(Entry):
    """It is ready when it says `ready`, goes on beside what follows, and ends with 0 on Ctrl-C."""

    ready: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Once(Entry):
    """Printed again on another page it is not run again: what it leaves is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs(Entry):
    """What has to be there before; `preparation` is a function of tests/docs/preparing.py."""

    preparation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere(Entry):
    """It is run by another suite: `line` begins a line of `file`, or the file decides by itself what it runs."""

    file: str
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun(Entry):
    """It is run nowhere."""


AnEntry = TypeVar("AnEntry", bound=Entry)


def first(entries: Iterable[AnEntry], command: ShellCommand) -> AnEntry | None:
    """The first entry about this command."""
    return next((entry for entry in entries if entry.matches(command)), None)


def _like(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text, re.DOTALL) is not None
