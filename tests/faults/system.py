"""The whole system as a person starts it, on free ports, with a witness in its database."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psycopg
from psycopg.rows import namedtuple_row

from cli.client import Client
from local.home import Addresses, Home
from local.process import Command, free_port, start_tethered
from tests.faults.patience import Patience
from tests.faults.witness import install_witness

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
START_SECONDS = 90
AWAY_SECONDS = 60.0
LEASE_SECONDS = 4.0
TICK_SECONDS = 1.0
QUICK = {
    "QUESTMILL_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "QUESTMILL_TICK_SECONDS": f"{TICK_SECONDS:g}",
    "QUESTMILL_HINT_REPEAT_SECONDS": "4",
    "QUESTMILL_BULK_POLL_SECONDS": "0.3",
    "QUESTMILL_BULK_SETTLE_SECONDS": "2",
    "QUESTMILL_REHEARSAL_FAULTS": "none",
}


class Role(Enum):
    """The processes of a system; ours by the module that they run."""

    WORKER = "workers"
    RECONCILER = "workers.reconciler"
    API = "api"
    POSTGRES = "postgres"
    VALKEY = "valkey"


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

    @property
    def log(self) -> str:
        """What the supervisor has said so far."""
        return (self.home / "up.log").read_text()

    def log_of(self, name: str) -> str:
        """What one process ("worker-1", "reconciler", "api") has said so far."""
        return (self.home / "logs" / f"{name}.log").read_text()

    def processes(self, role: Role) -> list[int]:
        """The ids of this system's live processes of a role.

        A process that is just starting a program looks like a second one of its own until the program is loaded: an SDK
        asks `lsb_release` at its first call.
        """
        found = [process.pid for process in find_processes(self.home) if plays(role, process.words)]
        return [pid for pid in found if _parent_of(pid) not in found]

    def wait_for_processes(self, role: Role, count: int) -> list[int]:
        """The ids, once there are so many."""
        return wait_until(lambda: found if len(found := self.processes(role)) >= count else None, f"{count} of {role}")

    def is_ready(self, worker: int) -> bool:
        """Whether a worker has said that it waits for messages; before that it knows no signals."""
        said = "".join(path.read_text() for path in (self.home / "logs").glob("worker-*.log"))
        return re.search(rf"questmill-{worker}@\S+ ready\.", said) is not None

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection in autocommit, once Postgres takes one."""
        url = self.addresses.database_url
        patience = Patience(AWAY_SECONDS)
        while True:
            try:
                conn = psycopg.Connection[Any].connect(url, autocommit=True, connect_timeout=5)
                break
            except psycopg.OperationalError:
                assert not patience.is_over(), "Postgres stayed away"
            time.sleep(0.1)
        with conn:
            yield conn

    def query(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Rows with names, read through any absence of Postgres."""
        patience = Patience(AWAY_SECONDS)
        while True:
            try:
                with self.database() as conn, conn.cursor(row_factory=namedtuple_row) as cursor:
                    return cursor.execute(statement, values).fetchall()
            except psycopg.OperationalError:
                assert not patience.is_over(), "Postgres stayed away"
            time.sleep(0.1)

    def value(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The first column of the only row."""
        [row] = self.query(statement, values)
        return row[0]

    def calls_at_model(self) -> int:
        """How many calls the rehearsal server has and has not answered yet."""
        answer = httpx2.get(f"{self.addresses.worker['ANTHROPIC_BASE_URL']}/rehearsal/summary")
        return int(answer.json()["in_flight"])

    def rehearse(self, what: str, **change: object) -> None:
        """Steer the rehearsal server: `rehearse("faults", shares={"429": 0.1})`."""
        answer = httpx2.post(f"{self.addresses.worker['ANTHROPIC_BASE_URL']}/rehearsal/{what}", json=change)
        assert answer.status_code == 200, answer.text


def plays(role: Role, words: Sequence[str]) -> bool:
    """Whether this command line is of that role."""
    match role:
        case Role.POSTGRES:
            return words[0].endswith("bin/postgres")
        case Role.VALKEY:
            return words[0].partition(" ")[0].endswith("valkey-server")  # it writes its own command line
        case _:
            return words[1:3] == ["-m", role.value]


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was when it was found: it may be gone since."""

    pid: int
    words: list[str]
    environment: bytes = field(repr=False)


def find_processes(home: Path) -> list[Process]:
    """Every live process that was told this home or works in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = _read_program(folder)
            works_in = (folder / "cwd").readlink()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        told = f"QUESTMILL_HOME={home}".encode() in environment.split(b"\0") or str(home) in " ".join(words)
        if (told or works_in.is_relative_to(home)) and state != "Z" and int(folder.name) != os.getpid():
            found.append(Process(int(folder.name), words, environment))
    return found


def _read_program(folder: Path) -> tuple[list[str], bytes]:
    """The command line and the environment of one program: between two looks a process may begin with another."""
    while True:
        before = (folder / "cmdline").read_bytes()
        environment = (folder / "environ").read_bytes()
        if (folder / "cmdline").read_bytes() == before:
            return before.decode(errors="replace").rstrip("\0").split("\0"), environment


def _parent_of(pid: int) -> int | None:
    """The process that started this one; None when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def wait_until(look: Callable[[], T | None], what: str, *, seconds: float = 60.0) -> T:
    """What `look` finds, as soon as it finds something."""
    patience = Patience(seconds)
    while not (found := look()):
        assert not patience.is_over(), f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.05)
    return found


@contextmanager
def running_system(
    home: Path, *, settings: Mapping[str, str], workers: int = 2, source: Path = ROOT, watched: bool = True
) -> Iterator[RunningSystem]:
    """`./run up` of the code in `source` until the end of the block; then Ctrl-C, and nothing may be left.

    The witness, which costs some time, notes each claim and checks each COMMIT of a `watched` system.
    """
    home.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    environment = given | QUICK | {
        "PYTHONPATH": str(source),
        "QUESTMILL_HOME": str(home),
        "QUESTMILL_API_PORT": str(free_port()),
        "QUESTMILL_FLOWER_PORT": str(free_port()),
        "OPENAI_API_KEY": "",
        "ANTHROPIC_API_KEY": "",
    } | dict(settings)  # fmt: skip
    log = home / "up.log"
    command = [sys.executable, "-m", "local", "up", "--workers", str(workers)]
    supervisor = start_tethered(
        Command(command, environment=environment, folder=source, death_signal=signal.SIGTERM), log
    )
    try:
        addresses = _wait_until_up(supervisor, home, log)
        if watched:
            install_witness(addresses.database_url)
        with Client(addresses.api_url) as client:
            yield RunningSystem(supervisor, home, addresses, client)
    finally:
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGINT)
        supervisor.wait(60)


def _wait_until_up(supervisor: subprocess.Popen[bytes], home: Path, log: Path) -> Addresses:
    def look() -> Addresses | None:
        assert supervisor.poll() is None, log.read_text()
        return Home(home).read()

    return wait_until(look, f"the system (see {log})", seconds=START_SECONDS)
