"""The whole system as a person starts it, in a process group of its own on free ports."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.client import Client
from local.home import Addresses, Home
from local.process import Command, start_tethered

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
QUICK = {
    "QUESTMILL_LEASE_SECONDS": "4",
    "QUESTMILL_TICK_SECONDS": "1",
    "QUESTMILL_HINT_REPEAT_SECONDS": "4",
}


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """A system that is up: its supervisor, addresses and client."""

    supervisor: subprocess.Popen[bytes]
    home: Path
    addresses: Addresses
    client: Client

    @property
    def record(self) -> Path:
        """What the rehearsal server served."""
        return self.home / "rehearsal.jsonl"

    def processes(self, *words: str) -> list[int]:
        """The ids of this system's processes whose command line holds all the words."""
        return [pid for pid, line in find_processes(self.home) if all(word in line for word in words)]


def find_processes(home: Path) -> list[tuple[int, str]]:
    """Every live process that was told this home, with its command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        told = f"QUESTMILL_HOME={home}".encode() in environment.split(b"\0") or str(home) in line
        if told and state != "Z" and int(folder.name) != os.getpid():
            found.append((int(folder.name), line))
    return found


@contextmanager
def running_system(home: Path, *, settings: Mapping[str, str], workers: int = 2) -> Iterator[RunningSystem]:
    """`./run up` until the end of the block; then Ctrl-C, and nothing may be left."""
    given = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    environment = given | QUICK | dict(settings) | {
        "QUESTMILL_HOME": str(home),
        "QUESTMILL_API_PORT": str(_free_port()),
        "QUESTMILL_FLOWER_PORT": str(_free_port()),
        "OPENAI_API_KEY": "",
        "ANTHROPIC_API_KEY": "",
    }  # fmt: skip
    log = home / "up.log"
    command = [sys.executable, "-m", "local", "up", "--workers", str(workers)]
    supervisor = start_tethered(
        Command(command, environment=environment, folder=ROOT, death_signal=signal.SIGTERM), log
    )
    try:
        addresses = _wait_until_up(supervisor, home, log)
        with Client(addresses.api_url) as client:
            yield RunningSystem(supervisor, home, addresses, client)
    finally:
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGINT)
        supervisor.wait(60)


def _wait_until_up(supervisor: subprocess.Popen[bytes], home: Path, log: Path) -> Addresses:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert supervisor.poll() is None, log.read_text()
        if addresses := Home(home).read():
            return addresses
        time.sleep(0.1)
    raise AssertionError(f"not up after {START_SECONDS} s:\n{log.read_text()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
