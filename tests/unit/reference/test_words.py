"""Schemas, texts and parsers in the words of the reference."""

import argparse
from typing import Annotated, Any, Literal

import pytest
import typer

from reference.command_lines import read_argparse, read_overview, read_typer
from reference.enumerations import meanings
from reference.markdown import link, prose, slug, table
from reference.schema_words import default_of, type_of


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "uuid"}, "UUID"),
        ({"type": "string", "pattern": "^(new|exact|near)$"}, "`new`, `exact` or `near`"),
        ({"type": "string", "minLength": 1, "maxLength": 200}, "text (1 to 200 characters)"),
        ({"enum": ["jsonl", "parquet"], "type": "string"}, "`jsonl` or `parquet`"),
        ({"type": "integer", "minimum": 1}, "integer (at least 1)"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 2**63}, "integer (at least 0, below 2^63)"),
        ({"type": "number", "exclusiveMinimum": 0.5}, "number (more than 0.5)"),
        ({"anyOf": [{"type": "number"}, {"type": "string"}], "maximum": 1000}, "number (at most 1,000)"),
        ({"anyOf": [{"$ref": "#/x/Plan"}, {"type": "null"}]}, "<Plan> or null"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, "list (at least 1 item) of integer"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "map to true or false"),
        ({"type": "object"}, "object"),
        ({}, "anything"),
    ],
)
def test_types(schema: dict[str, Any], said: str) -> None:
    assert type_of(schema, lambda name: f"<{name}>") == said


@pytest.mark.parametrize(
    ("default", "said"),
    [
        (None, ""),
        ([], ""),
        ({"a": 1}, ""),
        ("text", "`text`"),
        (180.0, "`180`"),
        (False, "`false`"),
        (["a"], '`["a"]`'),
    ],
)
def test_defaults(default: object, said: str) -> None:
    assert default_of({"default": default}) == said


def test_texts_of_the_code_become_markdown() -> None:
    assert prose("more in docs/gates.md#one") == "more in [gates.md](../gates.md#one)"
    assert prose("null: QUESTMILL_RAW_DAYS") == "null: `QUESTMILL_RAW_DAYS`"
    assert prose(r"\[ and ```") == r"\\[ and \`\`\`"
    assert table(["a", "b"], [["x|y", ""]]) == ["| a | b |", "| --- | --- |", r"| x\|y | |", ""]
    assert table(["a"], []) == []


def test_links_find_the_headings_of_viewers() -> None:
    assert slug("POST /v1/jobs/{job_id}/pause") == "post-v1jobsjob_idpause"
    assert slug("./run keys create") == "run-keys-create"
    assert link("Logs and traces", page="settings.md") == "[Logs and traces](settings.md#logs-and-traces)"


def test_an_enumeration_is_told_by_the_comments_beside_its_values() -> None:
    assert meanings("ShareScope", ["global", "domain"])["domain"] == "in each domain by itself"
    assert meanings("Scope", ["read", "submit", "admin"]).keys() == {"read", "submit", "admin"}
    assert meanings("Scope", ["of", "nobody"]) == {}


def test_commands_of_argparse() -> None:
    parser = argparse.ArgumentParser(description="Says it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="whose")
    parser.add_argument("--share", type=float, required=True, help="100 %% at most")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    (command,) = read_argparse(parser, "./run say")
    assert command.usage == "./run say [NAME ...] --share SHARE [...]"
    assert [each.written for each in command.arguments] == ["NAME ...", "--share SHARE", "--yes"]
    assert command.arguments[1].what == "100 % at most"


def test_commands_of_typer() -> None:
    app, inner = typer.Typer(), typer.Typer()
    app.add_typer(inner, name="inner")

    @inner.command()
    def say(
        file: Annotated[str, typer.Argument(metavar="FILE", help="What to say.")],
        count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How often.")] = 3,
        kind: Annotated[Literal["loud", "low"], typer.Option(help="How.")] = "low",
        pause: Annotated[bool, typer.Option("--pause/--no-pause", help="In between.")] = True,
    ) -> None:
        """Say it."""

    @inner.command()
    def stop() -> None:
        """Say no more."""

    command, stopped = read_typer(app, "./run")
    assert command.usage == "./run inner say FILE [...]"
    assert [(each.written, each.what) for each in command.arguments] == [
        ("FILE", "What to say."),
        ("-n N", "How often. At least 1. Default: 3."),
        ("--kind loud|low", "How. Default: low."),
        ("--pause / --no-pause", "In between. Default: --pause."),
    ]
    assert (stopped.path, stopped.about, stopped.arguments) == ("./run inner stop", "Say no more.", ())


def test_commands_of_the_script() -> None:
    listed = "./run say [NAME]  says it,\n                  aloud\n./run long --with WORDS\n    is long"
    found = list(read_overview(f"cat <<'HELP'\n{listed}\nHELP\n}}"))
    assert found == [("./run say [NAME]", "says it, aloud"), ("./run long --with WORDS", "is long")]
