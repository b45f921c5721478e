"""A real Postgres whose database lives on a disk of a few megabytes, to be filled up and given room again (FAULTS 16).

The disk is a tmpfs in a mount namespace of the server's own: it exists for that process alone and goes with it. The
write-ahead log stays on the normal disk, as a full one there stops the server and is the fault of a dead Postgres.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import DiskFull

from local.postgres import USER, EmbeddedPostgres
from local.process import TETHER, Command, Privileges, start_tethered

START_SECONDS = 60
# What others write and delete while the disk fills up is taken by the next filler.
FILLERS = ("filler-1", "filler-2", "filler-3")
MOUNT = 'mount -t tmpfs -o "size=$1m" tmpfs "$2"'
NEEDED = (
    "A full disk is made of a tmpfs in a user namespace, which this machine forbids. Allow it (sysctl "
    "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces; in "
    "a container: a seccomp profile with unshare and mount), or run where it is allowed."
)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A server with its database on a small disk. `url` is the database's, `admin_url` the maintenance database's."""

    url: str
    admin_url: str
    folder: Path
    megabytes: int
    server: subprocess.Popen[bytes]

    def fill(self) -> None:
        """Leave no byte free."""
        with self._admin() as connection:
            for name in FILLERS:
                # Whole megabytes would leave up to one free: a write that does not fit is cut off at the last byte.
                query = sql.SQL("COPY (SELECT repeat('x', 1000000) FROM generate_series(1, {})) TO {}")
                with suppress(DiskFull):
                    connection.execute(query.format(2 * self.megabytes, str(self.folder / name)))
                    pytest.fail(f"{name} did not fill {self.megabytes} MB")

    def free(self) -> None:
        """Give all the room back."""
        with self._admin() as connection:
            for name in FILLERS:
                connection.execute(sql.SQL("COPY (SELECT '') TO {}").format(str(self.folder / name)))

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.admin_url, autocommit=True)


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 48) -> Iterator[SmallDisk]:
    """A Postgres of its own until the end of the block, its database empty. Fails where namespaces are forbidden."""
    mount_point = folder / "disk"
    mount_point.mkdir(parents=True)
    _require_namespaces(mount_point)
    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    postgres.prepare()
    log = folder / "postgres.log"
    server = start_tethered(_on_small_disk(postgres.command(), mount_point, megabytes), log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not postgres.is_ready():
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Postgres did not start on its small disk:\n{log.read_text()}")
            time.sleep(0.02)
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(str(mount_point)))
            connection.execute(sql.SQL("CREATE DATABASE {} TABLESPACE small").format(sql.Identifier(USER)))
        yield SmallDisk(postgres.url(), postgres.url("postgres"), mount_point, megabytes, server)
    finally:
        server.send_signal(postgres.command().death_signal)
        server.wait(30)


def _on_small_disk(command: Command, mount_point: Path, megabytes: int) -> Command:
    # Root inside the namespace mounts; Postgres refuses root, so the tether maps it to another user once more. It also
    # ties the server's life to ours again, which entering a namespace undoes.
    tether = (sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(command.death_signal)))
    script = f'{MOUNT} && shift 2 && exec "$@"'
    argv = [
        *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(megabytes)),
        *(str(mount_point), *tether, Privileges.NAMESPACE.value, "--", *command.argv),
    ]
    return replace(command, argv=argv, privileges=Privileges.KEEP)


def _require_namespaces(mount_point: Path) -> None:
    probe = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", "1", str(mount_point)]
    try:
        done = subprocess.run(probe, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        pytest.fail(f"{NEEDED} ({error})")
    if done.returncode != 0:
        pytest.fail(f"{NEEDED} ({done.stderr.strip()})")
