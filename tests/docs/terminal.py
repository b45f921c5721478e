"""Typing a command as a person does: until it ends, with an answer to its question, or beside what follows."""

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.process import Command, start_tethered
from tests.docs.shell import BASH
from tests.faults.patience import LOOK_SECONDS, Patience

QUESTION = b"[y/N]"
START_SECONDS = 120
STOP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and all that it said; None is the code of one that did not end in its time."""

    code: int | None
    said: str


def type_command(text: str, folder: Path, environment: Mapping[str, str], *, seconds: float) -> Outcome:
    """Run it in bash with nobody at the terminal."""
    # A file, not a pipe: what stays behind in the background would keep that open.
    said = folder.parent / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [BASH, "-c", text],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code = _wait(process, Patience(seconds))
    return Outcome(code, said.read_text(errors="replace"))


def answer_command(
    text: str, folder: Path, environment: Mapping[str, str], answer: str, *, seconds: float, may_not_ask: bool = False
) -> Outcome:
    """Run it at a terminal, and type `answer` when it asks; one that asks nothing has not done what is printed."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [BASH, "-c", text],
        cwd=folder,
        env=dict(environment),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    patience = Patience(seconds)
    said, asked = b"", False
    while more := _read(ours, patience):
        said += more
        if not asked and QUESTION in said:
            asked = True
            os.write(ours, f"{answer}\n".encode())
    code = _wait(process, patience)
    os.close(ours)
    shown = said.decode(errors="replace").replace("\r\n", "\n")
    if code == 0 and not asked and not may_not_ask:
        return Outcome(None, f"{shown}\n(it asked nothing)")
    return Outcome(code, shown)


def _read(terminal: int, patience: Patience) -> bytes:
    """What comes next; nothing once everybody who had the terminal has ended, or where it takes too long."""
    while not select.select([terminal], [], [], LOOK_SECONDS)[0]:
        if patience.is_over():
            return b""
    try:
        return os.read(terminal, 65536)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


class Staying:
    """A command that stays, from when it says that it is ready until Ctrl-C; it cannot outlive us."""

    def __init__(self, text: str, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self.text = text
        self._log = log
        log.write_bytes(b"")
        command = Command([BASH, "-c", text], environment, folder, signal.SIGTERM)
        self._process = start_tethered(command, log)

    @property
    def said(self) -> str:
        """All that it said so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, ready: str) -> Outcome:
        """Wait until it says so; the code is 0 then."""
        patience = Patience(START_SECONDS)
        while ready not in self.said:
            if self._process.poll() is not None or patience.is_over():
                return Outcome(self._process.poll() or None, f"{self.said}\n(it never said {ready!r})")
            time.sleep(0.1)
        return Outcome(0, self.said)

    def interrupt(self) -> Outcome:
        """Ctrl-C, which reaches all that it has started in this terminal."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        return Outcome(_wait(self._process, Patience(STOP_SECONDS)), self.said)


def _wait(process: subprocess.Popen[bytes], patience: Patience) -> int | None:
    while (code := process.poll()) is None:
        if patience.is_over():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
        time.sleep(0.05)
    return code
