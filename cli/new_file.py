"""Writing a file that is either whole or not there."""

import os
from pathlib import Path

from cli.plain_words import BadArgument


def require_absent(path: Path, *, force: bool, what: str) -> None:
    """Raise BadArgument when something would be overwritten unasked; `what` says what else to choose."""
    if path.exists() and not force:
        raise BadArgument(f"{path} exists already; choose {what}, or overwrite it with --force.")


def unfinished_of(path: Path) -> Path:
    """Where a file is written until it is whole; beside it, so that it can take its place at once."""
    return path.with_name(f".{path.name}.{os.getpid()}.unfinished")


def write_new(path: Path, content: bytes) -> None:
    """Write the file as a whole. Raises OSError that names `path`, with nothing left behind."""
    unfinished = unfinished_of(path)
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)
