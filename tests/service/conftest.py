"""Real servers for the service tests: one Postgres and one Valkey per test process, gone when it ends in any way.

`QUESTMILL_TEST_DATABASE_URL` and `QUESTMILL_TEST_REDIS_URL` name servers to use instead. Every module gets its own
database, cloned from a migrated template.
"""

import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import redis
from alembic import command
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from local.postgres import EmbeddedPostgres
from local.process import Command, start_tethered
from local.valkey import EmbeddedValkey
from shared.database.engine import engine_for
from shared.database.schema import alembic_config
from tests.faults.patience import Patience

ROOT = Path(__file__).parents[2]
TEMPLATE_LOCK = 7_346_002


@contextmanager
def running(server: Command, is_ready: Callable[[], bool], log: Path) -> Iterator[None]:
    process = start_tethered(server, log)
    try:
        patience = Patience(60)
        while not is_ready():
            if process.poll() is not None or patience.is_over():
                pytest.fail(f"{server.argv[0]} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(server.death_signal)
        process.wait(30)


def at_database(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on which tests may create databases; the URL names its maintenance database."""
    if given := os.environ.get("QUESTMILL_TEST_DATABASE_URL"):
        yield given
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)
    server.prepare()
    with running(server.command(), server.is_ready, server.folder / "log"):
        yield server.url("postgres")


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated database without rows, made once per schema."""
    schema = b"".join(path.read_bytes() for path in sorted((ROOT / "migrations").rglob("*.py")))
    name = f"questmill_template_{hashlib.sha256(schema).hexdigest()[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            draft = f"{name}_draft"
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(draft)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(draft)))
            command.upgrade(alembic_config(at_database(postgres_url, draft)), "head")
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
    return name


@pytest.fixture(scope="module")
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """A migrated, empty database of this module."""
    name = f"questmill_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(clone.format(sql.Identifier(name), sql.Identifier(template_database)))
    yield at_database(postgres_url, name)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """A database without a schema, of this test."""
    name = f"questmill_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield at_database(postgres_url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on this module's database."""
    async with engine_for(database_url, application="questmill test") as opened:
        yield opened


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """A Redis-protocol database of this test process."""
    given = os.environ.get("QUESTMILL_TEST_REDIS_URL")
    if given and worker_id in {"master", "gw0"}:  # one database cannot serve two test processes
        yield given
        return
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    with running(server.command(), server.is_ready, server.folder / "log"):
        yield server.url()


@pytest.fixture(scope="module")
def redis_url(valkey_url: str) -> str:
    """A Redis-protocol database that is empty when the module starts."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
    return valkey_url
