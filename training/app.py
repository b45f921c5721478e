"""The commands `./run train` and `./run masks`. Each reads its arguments, works, and prints."""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from typer._click.exceptions import ClickException, UsageError

from shared.bundle.read import BadBundle, read_rows
from training.errors import BadRun
from training.masks import check_rows, limit_of
from training.masks_view import masks_view
from training.progress import following
from training.tokenizing import BYTES, load_tokenizer

INTERRUPTED = 130
PIPE_WIDTH = 240
SPLITS = ("train", "validation", "test")

app = typer.Typer(
    name="./run",
    help="Train on an exported bundle, and look at what is trained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def masks(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder of questmill export --format bundle.")],
    tokenizer: Annotated[
        str, typer.Option(metavar="PATH|bytes", help="A folder with a Hugging Face tokenizer, or bytes.")
    ] = BYTES,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Report longer rows; the tokenizer's own limit if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a trainer will learn of every row, by cell. Exit code 1 when any row is wrong."""
    loaded = load_tokenizer(tokenizer)
    rows = [row for split in SPLITS for row in read_rows(bundle, split)]
    with following("rows", len(rows)) as told:
        report = check_rows(loaded, rows, max_tokens=max_tokens or limit_of(loaded), told=told)
    if as_json:
        told_of = {"bundle": str(bundle), "tokenizer": tokenizer, **report.to_json()}
        sys.stdout.write(json.dumps(told_of, ensure_ascii=False) + "\n")
    else:
        console = Console(highlight=False)
        shown = console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)
        shown.print(masks_view(report, tokenizer), markup=False)
    if report.wrong_rows:
        raise typer.Exit(1)


def main() -> NoReturn:
    """Run the command line; whatever goes wrong is one sentence on stderr."""
    try:
        code = app(standalone_mode=False)
    except (BadBundle, BadRun) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'A file'}: {error.strerror or error}.")
    except (typer.Abort, KeyboardInterrupt):
        fail("Interrupted; the same command can be given again.", code=INTERRUPTED)
    except ClickException as error:
        said = " ".join(error.format_message().split()).rstrip(".")
        context = error.ctx if isinstance(error, UsageError) else None
        fail(f"{said}. See {context.command_path} --help" if context else f"{said}.", code=error.exit_code)
    raise SystemExit(code if isinstance(code, int) else 0)


def fail(said: str, *, code: int = 1) -> NoReturn:
    """One sentence on stderr, and the exit code."""
    sys.stderr.write(f"Error: {said}\n")
    raise SystemExit(code)
