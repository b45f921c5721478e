"""The folder that holds a running system: who runs it, its servers' data and secrets, its logs."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local.process import LocalProblem, write_secret


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running system is found; `worker` is what one more worker needs in its environment."""

    api_url: str
    flower_url: str
    database_url: str
    redis_url: str
    worker: dict[str, str] = field(default_factory=dict)


class Home:
    """`QUESTMILL_HOME`. Readable by us alone: passwords are in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self._note = self.path / "env.json"

    @contextmanager
    def held(self, address: str) -> Iterator[None]:
        """Hold the home for this process, which is reached at `address`. Raises LocalProblem when another one does."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise LocalProblem(f"{self.path} cannot be used ({error.strerror}); set QUESTMILL_HOME.") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise LocalProblem(
                    f"Questmill already runs in {self.path} ({lock.read().strip()}): "
                    "stop it first, or set QUESTMILL_HOME to another folder."
                ) from error
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, {address}")
            lock.flush()
            try:
                yield
            finally:
                self._note.unlink(missing_ok=True)

    def publish(self, addresses: Addresses) -> None:
        """Tell other commands on this home where the system is."""
        write_secret(self._note, json.dumps(asdict(addresses), indent=2) + "\n")

    def read(self) -> Addresses | None:
        """The addresses of the system that runs here, if one does."""
        if not self._note.exists():
            return None
        return Addresses(**json.loads(self._note.read_text()))
