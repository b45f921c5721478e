"""`questmill init`: a job spec to edit."""

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from cli.arguments import AsJson
from cli.new_file import require_absent, write_new
from cli.plain_words import BadArgument
from cli.spec_template import DOMAINS, QUESTIONS, Wishes, write_template
from cli.terminal import print_answer
from shared.database.states import Stage

DEFAULT_FILE = Path("job.yaml")


def init(  # noqa: PLR0917 - typer passes every argument by name
    file: Annotated[Path, typer.Argument(metavar="[FILE]", dir_okay=False, help="The file to write.")] = DEFAULT_FILE,
    dataset: Annotated[str | None, typer.Option(help="The dataset's name.")] = None,
    domains: Annotated[str | None, typer.Option(metavar="A,B,...", help="The domains, with commas between.")] = None,
    questions: Annotated[int | None, typer.Option(metavar="N", min=1, help="How many in all.")] = None,
    stages: Annotated[str | None, typer.Option(metavar="A,B,...", help="Of generate, validate, answer.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a job spec to edit, with every option explained. Asks what is not given, if at a terminal."""
    require_absent(file, force=force, what="another FILE")
    asks = sys.stdin.isatty() and not as_json
    wishes = Wishes(
        dataset=_choose(dataset, "Dataset", "mine", asks=asks),
        stages=_read_stages(_choose(stages, "Stages", "generate", asks=asks)),
        domains=_split(_choose(domains, "Domains", ", ".join(DOMAINS), asks=asks)),
        questions=questions or _read_count(_choose(None, "Questions in all", str(QUESTIONS), asks=asks)),
    )
    if not wishes.domains:
        raise BadArgument(
            "There is no domain among these; write names with commas between them, such as sailing,knots."
        )
    if len(wishes.domains) > wishes.questions:
        few = "1 question is" if wishes.questions == 1 else f"{wishes.questions} questions are"
        raise BadArgument(f"{few} too few for {len(wishes.domains)} domains; ask for more.")
    write_new(file, write_template(wishes).encode())
    said = f"wrote {file}; edit it, then see what it would do: ./run questmill plan {shlex.quote(str(file))}"
    print_answer({"path": str(file), "dataset": wishes.dataset}, said, as_json=as_json, soft_wrap=True, markup=False)


def _choose(given: str | None, what: str, default: str, *, asks: bool) -> str:
    """What is given, even if it is nothing; else a person's word, or the default."""
    if given is not None:
        return given
    return _ask(what, default) if asks else default


def _ask(what: str, default: str) -> str:
    """On stderr, like every question."""
    sys.stderr.write(f"{what} [{default}]: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or default


def _read_stages(written: str) -> tuple[Stage, ...]:
    wanted = _split(written)
    if unknown := [name for name in wanted if name not in set(Stage)]:
        raise BadArgument(f"No stage is called {unknown[0]!r}; there are {', '.join(Stage)}.")
    if not wanted:
        raise BadArgument(f"There is no stage among these; there are {', '.join(Stage)}.")
    return tuple(stage for stage in Stage if stage in wanted)


def _read_count(written: str) -> int:
    if not written.replace(",", "").isdecimal() or int(written.replace(",", "")) < 1:
        raise BadArgument(f"{written!r} is no number of questions; write a whole number of at least 1.")
    return int(written.replace(",", ""))


def _split(written: str) -> tuple[str, ...]:
    names = [name.strip() for name in written.split(",") if name.strip()]
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise BadArgument(f"{twice} is named twice; name it once.")
    return tuple(names)
