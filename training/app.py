"""The commands `./run train` and `./run masks`. Each reads its arguments, works, and prints."""

import json
import math
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console, RenderableType
from typer._click.exceptions import ClickException, UsageError

from shared.bundle.read import BadBundle, read_rows, require_as_exported
from training.errors import BadRun
from training.progress import Line, following
from training.settings import BYTES, SAID, TINY, Algo, Normalise, Settings
from training.train_view import outcome_view

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


class OverLength(StrEnum):
    """What is done with rows over the length."""

    REFUSE = "refuse"
    DROP = "drop"


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
    # transformers: seconds, which --help does not need, nor the reference that is written of these options.
    from training.masks import check_rows, limit_of
    from training.masks_view import masks_view
    from training.tokenizing import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    rows = [row for split in SPLITS for row in read_rows(bundle, split)]
    require_as_exported(bundle, SPLITS)
    with following("rows", len(rows)) as told:
        report = check_rows(loaded, rows, max_tokens=max_tokens or limit_of(loaded), told=told)
    if as_json:
        told_of = {"bundle": str(bundle), "tokenizer": tokenizer, **report.to_json()}
        sys.stdout.write(json.dumps(told_of, ensure_ascii=False) + "\n")
    else:
        show(masks_view(report, tokenizer))
    if report.wrong_rows:
        raise typer.Exit(1)


@app.command()
def train(  # noqa: PLR0917 - typer passes every argument by name
    data: Annotated[Path, typer.Option(metavar="BUNDLE", help="A folder of questmill export --format bundle.")],
    algo: Annotated[Algo, typer.Option(help="sft trains on all tasks alike; the others learn to adapt to one.")],
    model: Annotated[
        str,
        typer.Option(metavar="tiny|PATH", help="tiny: a random Llama of a million parameters, on bytes; or a folder."),
    ] = TINY,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the run is kept; in .questmill/training if left out.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of the outer optimizer, AdamW.")] = 60,
    tasks_per_step: Annotated[int, typer.Option(metavar="N", min=1, help="Episodes in a step.")] = 2,
    inner_steps: Annotated[int, typer.Option(metavar="K", min=1, help="Steps of descent on a support set.")] = 3,
    inner_lr: Annotated[float, typer.Option(metavar="RATE", help="Of those steps.")] = 0.1,
    lr: Annotated[
        float | None, typer.Option(metavar="RATE", help="Of AdamW.", show_default="tiny 0.002, else 0.0002")
    ] = None,
    loss: Annotated[
        Normalise, typer.Option(help="Divide by the trained tokens of a step, or weigh its tasks alike.")
    ] = Normalise.TOKENS,
    accumulate: Annotated[
        int, typer.Option(metavar="N", min=1, help="Cut each pass into N batches: less memory, the same gradient.")
    ] = 4,
    pack: Annotated[
        bool, typer.Option("--pack", help="Pack rows, isolated, instead of padding them: the same gradient.")
    ] = False,
    max_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="The longest row.", show_default="tiny 1024, else 2048"),
    ] = None,
    over_length: Annotated[
        OverLength, typer.Option(help="What is done with longer rows; they are never cut.")
    ] = OverLength.REFUSE,
    lora_rank: Annotated[
        int | None,
        typer.Option(metavar="R", min=0, help="Train adapters; 0: all weights.", show_default="tiny 0, else 16"),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Train a multi-task baseline on the same rows beside it.")
    ] = True,
    held_out_tasks: Annotated[
        int, typer.Option(metavar="N", min=1, help="Test episodes to judge by, of as many tasks as can be.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of weights and of the order of episodes.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the run in --out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on the episodes of a bundle, and judge how it adapts to tasks that it has not seen.

    Into --out go metrics.json, loss.png, checkpoint.pt and at the end model/, an adapter or a whole model.

    Ctrl-C saves and stops; the same command with --resume goes on, to the same outcome bit for bit.
    """
    from training.run import train as train_run  # seconds, which masks does not need

    tiny = model == TINY
    settings = Settings(
        algo=algo,
        model=model,
        steps=steps,
        tasks_per_step=tasks_per_step,
        inner_steps=inner_steps,
        inner_lr=inner_lr,
        lr=(0.002 if tiny else 0.0002) if lr is None else lr,
        loss=loss,
        accumulate=accumulate,
        pack=pack,
        max_tokens=max_tokens or (1024 if tiny else 2048),
        drop_longer=over_length is OverLength.DROP,
        lora_rank=(0 if tiny else 16) if lora_rank is None else lora_rank,
        baseline=baseline,
        held_out_tasks=held_out_tasks,
        seed=seed,
    )
    for name, rate in (("--lr", settings.lr), ("--inner-lr", inner_lr)):
        if not 0 < rate < math.inf:
            raise BadRun(f"{name} is {rate}, and has to be more than 0.")
    where = out or default_out(data, settings)
    sys.stderr.write(f"The loss is {SAID[loss]} (--loss {loss}).\n")
    with Line() as line:
        outcome = train_run(data, where, settings, resume=resume, force=force, told=line.tell)
    if as_json:
        sys.stdout.write(json.dumps(outcome.metrics, ensure_ascii=False) + "\n")
    else:
        show(outcome_view(outcome.metrics, where))
    if not outcome.finished:
        fail(f"Stopped after step {len(outcome.metrics['steps'])}, which is saved; --resume goes on.", code=INTERRUPTED)


def default_out(data: Path, settings: Settings) -> Path:
    """A folder that is named after what is trained on what."""
    home = Path(os.environ.get("QUESTMILL_HOME") or ".questmill")
    return home / "training" / f"{data.resolve().name}-{settings.algo}-{Path(settings.model).name}"


def show(view: RenderableType) -> None:
    """Print it; in a pipe, which has no width, without folding."""
    console = Console(highlight=False)
    shown = console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)
    shown.print(view, markup=False)


def main() -> NoReturn:
    """Run the command line; whatever goes wrong is one sentence on stderr."""
    try:
        code = app(prog_name="./run", standalone_mode=False)
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
