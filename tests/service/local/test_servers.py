"""The embedded servers by themselves."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.postgres import EmbeddedPostgres
from local.process import Privileges
from local.supervisor import Child, Supervisor
from local.valkey import EmbeddedValkey

AS_ROOT = [Privileges.NAMESPACE, Privileges.SWITCH]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    started = Supervisor(tmp_path / "logs", lambda _: None)
    yield started
    started.stop()


@pytest.mark.parametrize("privileges", AS_ROOT if os.geteuid() == 0 else [Privileges.KEEP])
def test_postgres_runs_whoever_we_are(privileges: Privileges, supervisor: Supervisor, tmp_path: Path) -> None:
    # Not below tmp_path, which other users cannot reach; the real place is /var/lib.
    reachable = Path("/var/lib") / f"questmill-test-{os.getpid()}"
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False, privileges=privileges, reachable=reachable)
    try:
        server.prepare()
        supervisor.start(Child("postgres", server.command(), server.is_ready, server.is_unused))
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not list(tmp_path.rglob("password.initdb"))
    finally:
        supervisor.stop()
        if reachable.exists():
            shutil.rmtree(reachable)


def test_postgres_refuses_a_wrong_password(supervisor: Supervisor, tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    server.prepare()
    supervisor.start(Child("postgres", server.command(), server.is_ready))
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(server.url("postgres").replace(server.password, "guess"))


def test_postgres_creation_that_was_cut_off_is_done_anew(supervisor: Supervisor, tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    (tmp_path / "postgres/data.new/base").mkdir(parents=True)
    server.prepare()
    supervisor.start(Child("postgres", server.command(), server.is_ready))
    server.create_database()


def test_valkey_asks_for_its_password_and_keeps_it_out_of_sight(supervisor: Supervisor, tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "valkey")
    command = server.command()
    supervisor.start(Child("valkey", command, server.is_ready))
    with redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    assert server.password not in " ".join(command.argv)
    assert {stat.S_IMODE((server.folder / name).stat().st_mode) for name in ("password", "valkey.conf")} == {0o600}


def test_servers_keep_port_and_password_over_restarts(tmp_path: Path) -> None:
    assert EmbeddedPostgres(tmp_path / "postgres").url() == EmbeddedPostgres(tmp_path / "postgres").url()
    assert EmbeddedValkey(tmp_path / "valkey").url() == EmbeddedValkey(tmp_path / "valkey").url()
