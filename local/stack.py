"""The whole system on one machine: which processes there are, what each is told, in which order they start."""

import asyncio
import http.client
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from local.home import Addresses, Home
from local.postgres import EmbeddedPostgres
from local.process import SMALL_MEMORY, Command, LocalProblem, is_port_free, remembered_port
from local.supervisor import Child, Supervisor
from local.valkey import EmbeddedValkey
from shared.database.engine import libpq_url
from shared.settings import Settings, url_at
from workers.flower import why_refused

ROOT = Path(__file__).parents[1]
SECRET_VARIABLES = frozenset(
    {"OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_FILE", "ANTHROPIC_AUTH_TOKEN"}
)
# Each process is told the URLs themselves, which may be those of embedded servers.
URL_FILES = frozenset({"DATABASE_URL_FILE", "REDIS_URL_FILE"})
# The client's; no process of ours is one.
CLIENT_VARIABLES = frozenset({"QUESTMILL_API_KEY", "QUESTMILL_API_KEY_FILE"})
# Bulk submissions of the rehearsal server take a second, not a day.
QUICK_BULK = {"QUESTMILL_BULK_POLL_SECONDS": "1", "QUESTMILL_BULK_SETTLE_SECONDS": "5"}
REHEARSAL_LATENCY_SECONDS = "0.05"


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What to start. `rehearsal` replaces the providers by the rehearsal server and hides the user's keys."""

    api_port: int
    flower_port: int
    workers: int
    rehearsal: bool


class Stack:
    """A system that runs in `home`, under one supervisor."""

    def __init__(self, home: Home, settings: Settings, plan: StackPlan, say: Callable[[str], None]) -> None:
        self.home = home
        self.settings = settings
        self.plan = plan
        self.supervisor = Supervisor(home.logs, say)
        self.rehearsal_record = home.path / "rehearsal.jsonl"

    @property
    def api_url(self) -> str:
        """Where this machine finds the API and its dashboard."""
        return url_at(self.settings.api_host, self.plan.api_port)

    @property
    def flower_url(self) -> str:
        """Where Flower is."""
        return url_at(self.settings.flower_host, self.plan.flower_port)

    @contextmanager
    def running(self) -> Iterator["Stack"]:
        """Everything started and ready; everything stopped at the end, however the block ends.

        Raises LocalProblem when the home is taken or something does not start, Stopped when asked to stop meanwhile.
        """
        if why := why_refused(self.settings):
            raise LocalProblem(f"{why}.")
        if self.plan.api_port == self.plan.flower_port:
            raise LocalProblem(
                f"The API and Flower cannot both have port {self.plan.api_port}; set QUESTMILL_API_PORT or "
                "QUESTMILL_FLOWER_PORT to another one."
            )
        with self.home.held(self.api_url), self.supervisor.handling_signals():
            for port, name in ((self.plan.api_port, "API"), (self.plan.flower_port, "FLOWER")):
                if not is_port_free(port):
                    raise LocalProblem(
                        f"Port {port} is taken by another program; set QUESTMILL_{name}_PORT to a free one."
                    )
            try:
                self._start()
                yield self
            finally:
                self.supervisor.stop()

    def _start(self) -> None:
        database_url, redis_url = self._start_servers()
        base = common_environment(os.environ) | {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "QUESTMILL_HOME": str(self.home.path),
            "QUESTMILL_API_HOST": self.settings.api_host,
            "QUESTMILL_API_PORT": str(self.plan.api_port),
            "QUESTMILL_FLOWER_PORT": str(self.plan.flower_port),
            "QUESTMILL_API_URL": self.api_url,
        }
        for_workers = {name: os.environ[name] for name in SECRET_VARIABLES if name in os.environ}
        services = []
        if self.plan.rehearsal:
            port = remembered_port(self.home.path / "rehearsal-port")
            services.append(self._rehearsal(base, port))
            for_workers = rehearsal_environment(port)
        # On our own server no process runs but ours, none of which has started.
        alone = [] if self.settings.names_database else ["--contract"]
        self.supervisor.run_once(Child("migrate", _python(base, "-m", "cli", "db", "upgrade", *alone)))
        if self.settings.keys_required:
            self._require_a_key(database_url)
        with psycopg.connect(libpq_url(database_url)) as connection:
            if not self.settings.names_database:
                # Nobody else's workers are on our own server; what an earlier run announced may be other providers.
                connection.execute("DELETE FROM provider")
            (started_at,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
        self.supervisor.start(
            *services, self._api(base), Child("reconciler", _python(base, "-m", "workers.reconciler"))
        )
        worker_environment = base | for_workers
        self.supervisor.start(
            *(
                Child(
                    f"worker {number}",
                    _python(worker_environment, "-m", "workers"),
                    is_ready=lambda: _have_workers_announced(database_url, started_at),
                    # Longer than a call, so that what is paid arrives.
                    grace_seconds=self.settings.call_timeout_seconds + 20,
                )
                for number in range(1, self.plan.workers + 1)
            ),
            self._flower(base),
        )
        addresses = Addresses(
            api_url=self.api_url,
            flower_url=self.flower_url,
            database_url=database_url,
            redis_url=redis_url,
            worker=for_workers if self.plan.rehearsal else {},
        )
        self.home.publish(addresses)

    def _require_a_key(self, database_url: str) -> None:
        """Say it here: the API would refuse to start, over and over, in its log."""
        from api.start import why_refused as why_api_refused

        if why := asyncio.run(why_api_refused(self.settings.model_copy(update={"database_url": database_url}))):
            raise LocalProblem(why)

    def _start_servers(self) -> tuple[str, str]:
        """The URLs of Postgres and of the Redis-protocol server, embedded ones started where none is given."""
        servers = []
        postgres = valkey = None
        if not self.settings.names_database:
            postgres = EmbeddedPostgres(self.home.path / "postgres")
            postgres.prepare()
            servers.append(postgres_child(postgres))
        if not self.settings.names_broker:
            valkey = EmbeddedValkey(self.home.path / "valkey")
            servers.append(Child("valkey", valkey.command(), is_ready=valkey.is_ready))
        if servers:
            self.supervisor.start(*servers)
        if postgres:
            postgres.create_database()
        return (
            postgres.url() if postgres else self.settings.database_url,
            valkey.url() if valkey else self.settings.redis_url,
        )

    def _rehearsal(self, base: Mapping[str, str], port: int) -> Child:
        self.rehearsal_record.unlink(missing_ok=True)
        command = _python(
            base,
            *("-m", "local.rehearsal", "--host", "127.0.0.1", "--port", str(port)),
            *("--latency", os.environ.get("QUESTMILL_REHEARSAL_LATENCY", REHEARSAL_LATENCY_SECONDS)),
            *("--faults", os.environ.get("QUESTMILL_REHEARSAL_FAULTS", "demo")),
            *("--record", str(self.rehearsal_record)),
        )
        return Child("rehearsal", command, is_ready=lambda: _listens(port))

    def _api(self, base: Mapping[str, str]) -> Child:
        # Its open progress streams never end by themselves.
        return Child(
            "api", _python(base, "-m", "api"), is_ready=lambda: _answers(self.api_url, "/readyz"), grace_seconds=5
        )

    def _flower(self, base: Mapping[str, str]) -> Child:
        command = _python(base, "-m", "workers.flower")
        return Child("flower", command, is_ready=lambda: _answers(self.flower_url, "/healthcheck"), grace_seconds=5)


def postgres_child(postgres: EmbeddedPostgres) -> Child:
    """The embedded Postgres as a supervisor keeps it."""
    return Child(
        "postgres",
        postgres.command(),
        is_ready=postgres.is_ready,
        may_start=postgres.is_unused,
        stop_signal=signal.SIGINT,  # clean and at once; SIGTERM would wait for clients
        grace_seconds=30,
    )


def has_key(settings: Settings) -> bool:
    """Whether the user has set a provider key; an empty variable is none."""
    return any(key and key.get_secret_value() for key in (settings.openai_api_key, settings.anthropic_api_key))


def common_environment(given: Mapping[str, str]) -> dict[str, str]:
    """What every process of ours is told: the caller's environment without provider keys, which workers alone get."""
    hidden = SECRET_VARIABLES | URL_FILES | CLIENT_VARIABLES
    environment = {name: value for name, value in given.items() if name.upper() not in hidden}
    own = environment.get("NO_PROXY") or environment.get("no_proxy")
    # A proxy for the world must not come between processes of this machine.
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(filter(None, [own, "127.0.0.1", "localhost"]))
    for name, value in SMALL_MEMORY.items():
        environment.setdefault(name, value)
    environment["PYTHONPATH"] = str(ROOT)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def rehearsal_environment(port: int) -> dict[str, str]:
    """What sends a worker's calls to the rehearsal server on this machine instead of to a provider."""
    return {
        "QUESTMILL_REHEARSAL": "1",
        **{name: os.environ.get(name, value) for name, value in QUICK_BULK.items()},
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": "rehearsal",
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
        "ANTHROPIC_API_KEY": "rehearsal",
    }


def _python(environment: Mapping[str, str], *arguments: str) -> Command:
    return Command([sys.executable, *arguments], environment=environment, folder=ROOT)


def _answers(url: str, path: str) -> bool:
    """Whether an HTTP server answers 200 within a second."""
    place = urlsplit(url)
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=1)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _have_workers_announced(database_url: str, since: datetime | None) -> bool:
    """Whether a worker has said which providers it can use; without that the API takes no job."""
    try:
        with psycopg.connect(libpq_url(database_url), connect_timeout=2) as connection:
            return connection.execute("SELECT 1 FROM provider WHERE seen_at > %s", [since]).fetchone() is not None
    except psycopg.OperationalError:
        return False
