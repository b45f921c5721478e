"""What may be overwritten, and what a file takes the place of."""

import os
from pathlib import Path

import pytest

from cli.new_file import require_absent, write_new
from cli.plain_words import BadArgument
from tests.unit.cli.conftest import Here


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """What is there and is no file."""
    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    return path


def test_only_files_are_overwritten_by_force(tmp_path: Path, pipe: Path) -> None:
    file = tmp_path / "file"
    write_new(file, b"old")
    with pytest.raises(BadArgument, match="exists already; choose another, or overwrite it with --force"):
        require_absent(file, force=False, what="another")
    require_absent(file, force=True, what="another")
    link = tmp_path / "link.json"
    link.symlink_to(pipe)
    for path in (pipe, link, Path("/dev/null")):
        for force in (False, True):
            with pytest.raises(BadArgument, match=f"^{path} is no file; choose another.$"):
                require_absent(path, force=force, what="another")
    with pytest.raises(BadArgument, match="is a folder; name a file in it"):
        require_absent(tmp_path, force=True, what="another")


def test_what_is_no_file_stays_there_whoever_writes(tmp_path: Path, pipe: Path) -> None:
    for path in (pipe, tmp_path):
        with pytest.raises(BadArgument):
            write_new(path, b"new")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_and_the_file_that_it_names_is_written(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(Path("folder") / "file")
    for content in (b"first", b"second"):
        write_new(link, content)
        assert (folder / "file").read_bytes() == content
    assert link.is_symlink()
    assert list(folder.iterdir()) == [folder / "file"]


def test_no_command_replaces_what_is_no_file(here: Here, pipe: Path) -> None:
    sentence = f"Error: {pipe} is no file; choose another {{}}.\n"
    assert here.run("init", pipe, "--force", status=1) == sentence.format("FILE")
    assert here.run("export", "mine", "--out", pipe, "--force", status=1) == sentence.format("--out")
    assert here.run("dedup-report", "mine", "--out", pipe, "--force", status=1) == sentence.format("--out")
    assert pipe.is_fifo()
