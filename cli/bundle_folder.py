"""Where a bundle is written: beside its place until it is whole. Only a bundle is ever replaced."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.plain_words import BadArgument
from shared.bundle.names import BadBundle, files_of
from shared.bundle.read import read_manifest


def require_replaceable(out: Path, *, force: bool) -> None:
    """Raise BadArgument when something stands there that is not to be, or must not be, replaced."""
    if not os.path.lexists(out):
        return
    if not force:
        raise BadArgument(f"{out} exists already; choose another --out, or replace the bundle there with --force.")
    stranger = _stranger_in(out)
    if stranger:
        raise BadArgument(f"{stranger}, so --force does not replace it; choose another --out.")


def _stranger_in(out: Path) -> str | None:
    """Why a folder is not a bundle and nothing but a bundle; None where it is one."""
    if out.is_symlink():
        return f"{out} is a link"
    try:
        read_manifest(out)
    except BadBundle:
        return f"{out} is no bundle"
    known = files_of(openai=True)
    others = [path for path in sorted(out.rglob("*")) if not path.is_dir() or path.is_symlink()]
    for path in others:
        if path.relative_to(out).as_posix() not in known:
            return f"{path} is not of the bundle"
    return None


@contextmanager
def new_bundle_folder(out: Path, *, force: bool = False) -> Iterator[tuple[Path, Path]]:
    """A folder to work in and one in it for the bundle, which takes its place at the end of the block.

    Whatever happens, there is the whole old one or the whole new one, and nothing else is left. Raises BadArgument when
    something stands there at the end that is not to be replaced.
    """
    place = out.absolute()
    above = next(folder for folder in place.parents if folder.exists())
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".unfinished", dir=above))
    made, old = work / "bundle", work / "old"
    try:
        made.mkdir()
        yield work, made
        require_replaceable(out, force=force)
        try:
            if os.path.lexists(out):
                out.rename(old)
            place.parent.mkdir(parents=True, exist_ok=True)
            made.rename(out)
        except BaseException:
            if old.exists() and not os.path.lexists(out):
                old.rename(out)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
