"""The arguments and options that several commands take."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="An id, the beginning of one, or a dataset (its latest job).")]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's name.")]
