"""`questmill verify`: whether a bundle is as it was made. Needs no running Questmill."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from cli.arguments import AsJson
from cli.terminal import print_answer

# Nothing else in the folder tells of it.
UNCHECKED = "Not checked is what only manifest.json tells: jobs, planned, left_out, parent."
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder of a bundle.")]


def verify(bundle: Bundle, as_json: AsJson = False) -> None:
    """Check every file, row, split and episode of a bundle again. Exit code 1 when something is wrong."""
    from cli.bar import showing_progress
    from shared.bundle.verify import PHASES, verify_bundle  # pyarrow takes a fifth of a second

    with showing_progress(PHASES) as on_progress:
        found = verify_bundle(bundle, on_progress)
    told = [Text(each) for each in found.problems]
    counted = f"{found.rows:,} rows, {found.episodes:,} episodes"
    verdict = f"{bundle} is as it was made: {counted}" if found.is_whole else f"{bundle} is not as it was made"
    told.append(Text(verdict))
    if found.is_whole:
        told.append(Text(UNCHECKED, style="dim"))
    print_answer(
        {"whole": found.is_whole, "rows": found.rows, "episodes": found.episodes, "problems": found.problems},
        Group(*told),
        as_json=as_json,
        soft_wrap=True,
    )
    if not found.is_whole:
        raise typer.Exit(1)
