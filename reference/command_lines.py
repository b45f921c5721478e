"""Commands and their arguments, read off the parsers themselves; nothing is run. Pure."""

import argparse
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import EnumType
from typing import Any, Literal, get_args, get_origin

import typer
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument or option: how it is written, what it does, and whether it can be left out."""

    written: str
    what: str
    required: bool
    positional: bool


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One command: "./run questmill plan", with a text about it."""

    path: str
    about: str
    arguments: tuple[Argument, ...]

    @property
    def usage(self) -> str:
        """In one line; options that can be left out are only hinted at."""
        places = [each.written if each.required else f"[{each.written}]" for each in self.arguments if each.positional]
        named = [each.written.partition(",")[0] for each in self.arguments if each.required and not each.positional]
        more = any(not each.required and not each.positional for each in self.arguments)
        return " ".join([self.path, *places, *named, *(["[...]"] if more else [])])


def read_typer(app: typer.Typer, path: str) -> Iterator[CommandLine]:
    """All commands below an app of typer's."""
    yield from _below(get_command(app), path)


def _below(command: Any, path: str) -> Iterator[CommandLine]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from _below(inner, f"{path} {name}")
    if not hasattr(command, "commands"):
        arguments = tuple(_of_typer(each) for each in command.params if not each.hidden)
        yield CommandLine(path, inspect.cleandoc(command.help or ""), arguments)


def _of_typer(param: Any) -> Argument:
    what = " ".join((param.help or "").split())
    choices = _choices(param.type_descriptor.annotation)
    if param.param_type_name == "argument":
        name = choices or re.sub(r"[\[\]. ]", "", param.metavar or param.name.upper())
        several = " ..." if param.nargs == -1 else ""
        return Argument(f"{name}{several}", what, param.required, positional=True)
    written = " / ".join([", ".join(param.opts), *param.secondary_opts])
    value = "" if param.is_flag else param.metavar or choices or param.name.upper()
    return Argument(
        f"{written} {value}".strip(), f"{what}{_bounds(param)}{_default(param)}", param.required, positional=False
    )


def _choices(kind: Any) -> str:
    if isinstance(kind, EnumType):
        return "|".join(map(str, kind))
    return "|".join(get_args(kind)) if get_origin(kind) is Literal else ""


def _bounds(param: Any) -> str:
    low, high = param.min, param.max
    if low is None:
        return "" if high is None else f" At most {high}."
    return f" At least {low}." if high is None else f" {low} to {high}."


def _default(param: Any) -> str:
    """How typer's own help tells it."""
    if isinstance(param.show_default, str):
        return f" Default: {param.show_default}."
    default = param.default
    if default is None or default is False or callable(default) or default == ():
        return ""
    return f" Default: {param.opts[0] if default is True else getattr(default, 'value', default)}."


def read_argparse(parser: argparse.ArgumentParser, path: str, about: str = "") -> Iterator[CommandLine]:
    """All commands below a parser of argparse's."""
    actions = [each for each in parser._actions if each.dest != "help"]  # noqa: SLF001 - its help is folded by width
    inner = [each for each in actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001
    for group in inner:
        told = {each.dest: each.help or "" for each in group._choices_actions}  # noqa: SLF001
        for name, below in group.choices.items():
            yield from read_argparse(below, f"{path} {name}", told.get(name, ""))
    if not inner:
        exclusive = {each for group in parser._mutually_exclusive_groups for each in group._group_actions}  # noqa: SLF001
        arguments = tuple(_of_argparse(each, alone=each not in exclusive) for each in actions)
        yield CommandLine(path, about or parser.description or "", arguments)


def _of_argparse(action: argparse.Action, *, alone: bool) -> Argument:
    what = re.sub(r"\s+", " ", (action.help or "").replace("%%", "%"))
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices:
        value = "|".join(map(str, action.choices))
    if not action.option_strings:
        more = " ..." if action.nargs in {"*", "+"} else ""
        return Argument(f"{value}{more}", what, action.nargs not in {"*", "?"} and alone, positional=True)
    written = ", ".join(action.option_strings)
    return Argument(written if action.nargs == 0 else f"{written} {value}", what, action.required, positional=False)


def read_overview(script: str) -> Iterator[tuple[str, str]]:
    """The commands that the script `run` lists when it is called alone, each with what it does."""
    listed = re.search(r"<<'HELP'\n(.*?)\nHELP\n", script, re.DOTALL)
    # What goes on in the next line begins with spaces; two spaces stand before what a command does.
    for entry in re.split(r"\n(?=\./run)", listed[1] if listed else ""):
        written, _, what = entry.partition("  ")
        yield written.strip(), " ".join(what.split())
