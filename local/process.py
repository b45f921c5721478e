"""Starting programs that cannot outlive us, and small things about processes and ports."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from shared.errors import QuestmillError

TETHER = Path(__file__).with_name("tether.py")
# For servers that are not ours: no key and no variable of the user that changes what they do.
BARE_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
# Below what systems use for outgoing connections (Linux: 32768, IANA: 49152), above what services are known by.
SERVER_PORTS = range(20_000, 32_000)
_reserved: set[int] = set()

# Threads that take turns at the interpreter need no heap each. Blocks of up to 4 MB, which numpy takes and gives
# back many times a second, stay with the process: with new pages for each, a worker spent a sixth of its CPU time in
# the system. Larger ones go back: by default glibc keeps them after the first. numpy multiplies no matrices here.
SMALL_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
    "OPENBLAS_NUM_THREADS": "1",
}


class LocalProblem(QuestmillError):
    """Something on this machine stands in the way; the detail is one sentence that says what to do."""

    type = "local-problem"
    title = "The embedded stack cannot run"


class Privileges(StrEnum):
    """As whom a program that refuses root is run."""

    KEEP = "keep"  # we are not root
    NAMESPACE = "namespace"  # root, seen as user 1000 inside a user namespace; files need no chown
    SWITCH = "switch"  # root where user namespaces are forbidden: another user of this machine


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run. `death_signal` is what it gets when its starter dies, however that happens."""

    argv: Sequence[str]
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    death_signal: signal.Signals = signal.SIGKILL
    privileges: str = Privileges.KEEP  # or "UID:GID"


def start_tethered(command: Command, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output appended to `log`.

    Call it from a thread that lives as long as the process: the kernel sends the death signal when that *thread* ends.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(TETHER)),
                *(str(os.getpid()), str(int(command.death_signal)), command.privileges, "--"),
                *command.argv,
            ],
            env=None if command.environment is None else dict(command.environment),
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@cache
def choose_privileges() -> Privileges:
    """How a program that refuses root can be run by us here."""
    if os.geteuid() != 0:
        return Privileges.KEEP
    probe = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), "9", Privileges.NAMESPACE, "--", "true"]
    allowed = subprocess.run(probe, check=False, capture_output=True).returncode == 0
    return Privileges.NAMESPACE if allowed else Privileges.SWITCH


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do it: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nothing listens on and that nobody else was told, by chance out of thousands.

    One that the kernel chooses is of the range from which it takes the ports of outgoing connections, and may be gone
    before a server has started.
    """
    while not (is_port_free(port := secrets.choice(SERVER_PORTS)) and _reserve(port)):
        pass
    return port


def _reserve(port: int) -> bool:
    """Keep a port until this process ends from whoever chooses one like we do; no server of TCP minds.

    Between the choice and the server's start others choose as well: a socket of UDP stands for the port meanwhile.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        try:
            held.bind(("127.0.0.1", port))
        except OSError:
            return False
        _reserved.add(port)
        held.detach()  # the kernel closes it
    return True


def remembered_port(note: Path) -> int:
    """The port of the last run while it is still free, else another one, noted for the next run."""
    if note.exists():
        port = int(note.read_text())
        if is_port_free(port) and (port in _reserved or _reserve(port)):
            return port
    port = free_port()
    note.write_text(f"{port}\n")
    return port


def write_secret(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
