"""The arguments and options that several commands take."""

from typing import Annotated

import typer

from cli.completion import complete_datasets, complete_jobs

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="An id, the beginning of one, or a dataset (its latest job).",
        autocompletion=complete_jobs,
    ),
]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="A dataset's name.", autocompletion=complete_datasets)]
