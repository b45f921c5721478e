"""Finding the job or the cell that a person means."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from cli.connection import Client
from cli.plain_words import BadArgument


def find_job(client: Client, wanted: str) -> str:
    """The id for an id, a unique beginning of one, or a dataset's name (its latest job). Raises BadArgument."""
    try:
        return str(UUID(wanted))
    except ValueError:
        return pick_job(list(client.jobs()), wanted)


def pick_job(known: Sequence[Mapping[str, Any]], wanted: str) -> str:
    """The same among jobs that are known, newest first. Raises BadArgument."""
    for job in known:
        if job["dataset"] == wanted:
            return str(job["id"])
    matching = [str(job["id"]) for job in known if wanted and str(job["id"]).startswith(wanted.lower())]
    if len(matching) > 1:
        raise BadArgument(f"{len(matching)} jobs begin with {wanted}; write more of the id.")
    if not matching:
        raise BadArgument(f"No job or dataset is called {wanted or 'nothing'}; list them with: ./run questmill jobs")
    return matching[0]


def read_cell(wanted: str) -> tuple[str, str]:
    """Domain and difficulty of "math/hard". Raises BadArgument."""
    domain, _, difficulty = wanted.rpartition("/")
    if not (domain and difficulty):
        raise BadArgument(f"{wanted!r} is not a cell; write DOMAIN/DIFFICULTY, such as math/hard.")
    return domain, difficulty
