"""The commands of a block of shell: each with the lines that bash needs for it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.docs.pages import Page, Piece

BASH = shutil.which("bash") or "/bin/bash"


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """A command as it is printed; `line` is the one on which it begins."""

    page: str
    line: int
    printed: str

    @property
    def place(self) -> str:
        """As an editor finds it: "docs/backup.md:32"."""
        return f"{self.page}:{self.line}"

    @property
    def bare(self) -> str:
        """In one line, without the comment behind it."""
        joined = re.sub(r"\\\n\s*", "", self.printed)
        return " ".join(re.sub(r"\s+#\s.*$", "", joined, flags=re.MULTILINE).split())


def commands_of(page: Page) -> list[ShellCommand]:
    """The commands of all its `sh` blocks, in order. Raises ValueError where a block ends within one."""
    return [command for block in page.blocks if block.language == "sh" for command in _split(block)]


def _split(block: Piece) -> Iterator[ShellCommand]:
    pending: list[str] = []
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        pending.append(line)
        if not line.endswith("\\") and _is_whole("\n".join(pending)):
            yield ShellCommand(block.page, number - len(pending) + 1, "\n".join(pending))
            pending = []
    if pending:
        raise ValueError(f"{block.page}:{block.line}: bash cannot read {pending[0]!r}")


def _is_whole(text: str) -> bool:
    """Whether bash reads a whole command, and says nothing of a missing end."""
    read = subprocess.run([BASH, "-n"], input=text, capture_output=True, text=True, check=False)
    return read.returncode == 0 and not read.stderr
