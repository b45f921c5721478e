"""Writing a file that is either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cli.plain_words import BadArgument


def require_absent(path: Path, *, force: bool, what: str) -> None:
    """Raise BadArgument when something would be overwritten unasked, or is no file; `what` says what else to choose."""
    require_file(path, what)
    if path.exists() and not force:
        raise BadArgument(f"{path} exists already; choose {what}, or overwrite it with --force.")


def require_file(path: Path, what: str = "another name") -> None:
    """Raise BadArgument for a folder, a device, a pipe: a file may not take their place, whoever asks for it."""
    if path.is_dir():
        raise BadArgument(f"{path} is a folder; name a file in it.")
    if path.exists() and not path.is_file():
        raise BadArgument(f"{path} is no file; choose {what}.")


def place_of(path: Path) -> Path:
    """Where a file of this name lies: a link stays one, and what it names is written. Raises BadArgument."""
    require_file(path)
    # Path.resolve() raises for links that go round in a circle.
    return Path(os.path.realpath(path))


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written, which takes its place at the end of the block.

    Raises BadArgument for what is no file, and OSError that names `path`; then nothing is left behind.
    """
    place = place_of(path)
    # Beside it, so that it can take its place at once.
    unfinished = place.with_name(f".{place.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(place)
    except OSError as error:
        # The person named `path`; its neighbour is our affair.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_new(path: Path, content: bytes) -> None:
    """Write the file as a whole. Raises as `new_file` does."""
    with new_file(path) as file:
        file.write(content)
