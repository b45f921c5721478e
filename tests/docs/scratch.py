"""A copy of this project as a stranger has it after `git clone`, with an environment that is already prepared."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.process import free_port
from tests.docs.pages import ROOT

# Prepared once by ./run; everything else of ours that begins with a dot stays out.
BESIDE = (".train", ".benchmarks")
NEVER = frozenset({".git", ".venv", ".uv", "__pycache__", "exports"})
# How packages and programs are found on this machine; nothing else of the caller's environment gets in.
PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SSL_",
    "PIP_",
    "UV_",
    "REQUESTS_CA",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "DOCKER_",
)


@dataclass(frozen=True, slots=True)
class Scratch:
    """The copy, and the home folder of the person who types there."""

    root: Path
    person: Path

    def environment(self) -> dict[str, str]:
        """What a command is told: no key, no setting of the caller's, and ports that are free."""
        passed = {name: value for name, value in os.environ.items() if name.upper().startswith(PASSED_ON)}
        own = Path.home()
        return passed | {
            "HOME": str(self.person),
            "XDG_CONFIG_HOME": str(own / ".config"),
            "XDG_CACHE_HOME": str(own / ".cache"),
            "TERM": "dumb",
            "COLUMNS": "120",
            "OMP_NUM_THREADS": "1",  # docs/training.md: faster on a machine that does other work
            "QUESTMILL_API_PORT": str(free_port()),
            "QUESTMILL_FLOWER_PORT": str(free_port()),
        }

    def tidy(self) -> None:
        """Take away what commands have left in the folder, but for the data of the system."""
        kept = {path.relative_to(ROOT).parts[0] for path in files_of_project()} | {".venv", ".questmill", *BESIDE}
        for path in self.root.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def make_scratch(folder: Path) -> Scratch:
    """Copy the project into `folder`; its environment is linked file by file, so that what is added stays there."""
    scratch = Scratch(folder / "questmill", folder / "person")
    for path in files_of_project():
        target = scratch.root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    shutil.copytree(ROOT / ".venv", scratch.root / ".venv", symlinks=True, copy_function=_link)
    for name in BESIDE:
        if (ROOT / name).exists():
            (scratch.root / name).symlink_to((ROOT / name).resolve())
    scratch.person.mkdir()
    (scratch.person / "questmill").symlink_to(scratch.root)  # ~/questmill, as the pages call it
    return scratch


def files_of_project() -> list[Path]:
    """The files that git keeps, as they are now; without git all but what is made here."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    named = (
        [ROOT / name for name in listed.stdout.split("\0") if name] if listed.returncode == 0 else list(_walked(ROOT))
    )
    return [path for path in named if path.is_file()]


def _walked(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in NEVER or (path.is_dir() and path.name.startswith(".") and path.name != ".ci"):
            continue
        if path.is_dir():
            yield from _walked(path)
        else:
            yield path


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy2(source, target)
    return target
