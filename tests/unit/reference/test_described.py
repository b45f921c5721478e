"""Whatever a person can set, send or get is described where it is defined."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from api.app import create_app
from bench.__main__ import make_parser as make_bench_parser
from cli.app import app as questmill
from local.__main__ import make_parser as make_local_parser
from local.rehearsal.config import RehearsalConfig
from reference.command_lines import CommandLine, read_argparse, read_typer
from reference.pages import ROOT, make_pages
from reference.settings_page import GROUPS, variable_of
from reference.variables import COMPOSE, DEVELOPMENT
from shared.secret_files import FIELDS, SUFFIX
from shared.settings import Settings
from training.app import app as training

DOCUMENT = create_app(Settings.model_construct()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
SHAPES = DOCUMENT["components"]["schemas"]
VARIABLE = re.compile(r"(?<![A-Z_])QUESTMILL_[A-Z_]*[A-Z]\b")
CODE = ("api", "bench", "cli", "deploy", "local", "shared", "tests", "training", "workers", ".ci")
OURS = Path(__file__).parent
FILES = ("run", "docker-compose.yml", "Dockerfile")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_what_it_does_and_what_it_takes(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"].startswith(operation["summary"][:20])
    assert [each["name"] for each in operation.get("parameters", ()) if not each.get("description")] == []
    assert operation["tags"][0] in {each["name"] for each in DOCUMENT["tags"]}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_says_what_it_is_and_what_its_fields_are(name: str) -> None:
    shape = SHAPES[name]
    assert shape["description"]
    assert [field for field, each in shape.get("properties", {}).items() if not each.get("description")] == []


@pytest.mark.parametrize("settings", [Settings, RehearsalConfig])
def test_a_setting_says_what_it_does(settings: type[BaseSettings]) -> None:
    assert [name for name, field in settings.model_fields.items() if not field.description] == []


def test_an_argument_says_what_it_does() -> None:
    for command in commands():
        assert command.about, command.path
        assert [each.written for each in command.arguments if not each.what] == [], command.path


def commands() -> Iterator[CommandLine]:
    yield from read_argparse(make_local_parser(), "./run")
    yield from read_argparse(make_bench_parser(), "./run bench")
    yield from read_typer(questmill, "./run questmill")
    yield from read_typer(training, "./run")


def test_groups_of_settings_begin_at_settings() -> None:
    assert [each.first for each in GROUPS if each.first not in Settings.model_fields] == []
    assert GROUPS[0].first == next(iter(Settings.model_fields))


def test_every_variable_that_code_names_is_in_the_reference_and_none_else() -> None:
    text = code()
    page = make_pages()["settings.md"]
    assert set(VARIABLE.findall(text)) - set(VARIABLE.findall(page)) == set()
    known = {variable_of(settings, name) for settings in (Settings, RehearsalConfig) for name in settings.model_fields}
    known |= {f"{name}{SUFFIX}" for name in FIELDS}
    elsewhere = {each.name for each in (*COMPOSE, *DEVELOPMENT)}
    assert {name for name in elsewhere - known if name not in text} == set()
    assert {name for name in VARIABLE.findall(page) if name not in known | elsewhere} == set()


def test_what_compose_takes_from_the_shell_is_what_the_reference_says() -> None:
    text, read = (ROOT / "docker-compose.yml").read_text(), {}
    # The innermost first, which then stands in the default of the one around it.
    while found := re.search(r"\$\{(\w+):-([^${}]*)\}", text):
        read[found[1]] = found[2]
        text = text.replace(found[0], found[2])
    assert "${" not in text
    assert {each.name: each.default for each in COMPOSE} == read


def code() -> str:
    """All of it that can read a variable; the reference itself and the pages cannot."""
    kinds = {".py", ".sh", ".yml", ".yaml", ".env", ""}
    found = [ROOT / name for name in FILES]
    for folder in CODE:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix in kinds]
    return "\n".join(path.read_text(errors="replace") for path in sorted(found) if path.parent != OURS)
