"""Postgres's client programs, and what backup and restore ask of a database."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from local.home import Home
from local.postgres import EmbeddedPostgres, find_postgres
from local.process import LocalProblem
from local.stack import postgres_child
from local.supervisor import Supervisor
from shared.database.engine import libpq_url
from shared.database.schema import upgrade
from shared.settings import Settings

ROOT = Path(__file__).parents[1]
# From 17 on pg_restore sets transaction_timeout, which an older server does not know.
OLDEST_SERVER = 17
BY_HAND = "see docs/backup.md, By hand"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Contents:
    """How much a database holds."""

    datasets: int
    jobs: int
    questions: int

    def __str__(self) -> str:
        counts = {"dataset": self.datasets, "job": self.jobs, "question": self.questions}
        return ", ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for name, count in counts.items())


@contextmanager
def connected(database_url: str, application: str) -> Iterator[Connection]:
    """A connection in autocommit.

    Raises LocalProblem when there is no such server or database, and for what Postgres refuses inside the block.
    """
    try:
        connection = psycopg.connect(
            libpq_url(database_url), autocommit=True, application_name=application, connect_timeout=10
        )
    except psycopg.OperationalError as error:
        raise LocalProblem(f"The database cannot be reached: {_gist(str(error))}.") from error
    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        raise LocalProblem(f"Postgres says: {_gist(str(error))}.") from error


@contextmanager
def embedded_server(home: Home, *, make: bool = False) -> Iterator[str]:
    """The home's own Postgres and nothing else, for as long as the block; the URL of its database.

    With `make` that is there, and its schema this release's.
    """
    postgres = EmbeddedPostgres(home.path / "postgres")
    postgres.prepare()
    supervisor = Supervisor(home.logs, lambda _: None)
    try:
        supervisor.start(postgres_child(postgres))
        if make:
            postgres.create_database()
            upgrade(postgres.url())
        yield postgres.url()
    finally:
        supervisor.stop()


@contextmanager
def own_server(settings: Settings, home: Home, *, make: bool = False) -> Iterator[str]:
    """The server of DATABASE_URL when that is set, else the home's own, started for the block, made where asked for."""
    if settings.names_database:
        yield settings.session_database_url
    else:
        with embedded_server(home, make=make) as url:
            yield url


@contextmanager
def open_database(settings: Settings, purpose: str, *, make: bool = False) -> Iterator[str]:
    """The URL of the database, on a server that answers for the whole block, whether the system runs or not.

    That of DATABASE_URL, else what runs in this home, else the home's own, started for `purpose`. Raises LocalProblem
    when there is none; `make` makes the home's own then.
    """
    home = Home(settings.home)
    with ExitStack() as stack:
        if not settings.names_database:
            if not make and not (home.path / "postgres").is_dir():
                raise LocalProblem(f"There is no database in {home.path}: set QUESTMILL_HOME or DATABASE_URL.")
            try:
                stack.enter_context(home.held(purpose))
            except LocalProblem:
                addresses = home.read()
                if addresses is None:
                    raise
                yield addresses.database_url
                return
        yield stack.enter_context(own_server(settings, home, make=make))


def count_contents(connection: Connection) -> Contents:
    """What the database holds. Raises LocalProblem when it is not one of Questmill's."""
    count = "SELECT (SELECT count(*) FROM dataset), (SELECT count(*) FROM job), (SELECT count(*) FROM question)"
    try:
        row = connection.execute(count).fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise LocalProblem(f"The database {connection.info.dbname} holds no Questmill.") from error
    assert row is not None
    return Contents(*row)


def check_server_version(connection: Connection) -> None:
    """Raise LocalProblem where our client programs cannot both dump and restore this server."""
    server = connection.info.server_version // 10_000
    ours = int(re.findall(r"\(PostgreSQL\) (\d+)", run_client("pg_dump", ["--version"]))[0])
    if not OLDEST_SERVER <= server <= ours:
        raise LocalProblem(
            f"The server is Postgres {server}, and the client programs here serve {OLDEST_SERVER} to {ours}: "
            f"use the pg_dump and pg_restore of Postgres {server} ({BY_HAND})."
        )


def run_client(program: str, arguments: list[str], database_url: str | None = None) -> str:
    """Run `pg_dump` or `pg_restore`, on a database where one is given; what it prints.

    Raises LocalProblem with its last words when it fails.
    """
    environment = dict(os.environ)
    command = [str(find_postgres() / "bin" / program), *arguments]
    if database_url is not None:
        parameters = conninfo_to_dict(libpq_url(database_url))
        # Other users can read a command line.
        if password := parameters.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        command += ["--no-password", "--dbname", make_conninfo("", **parameters)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode != 0:
        raise LocalProblem(f"{program} failed: {_gist(done.stderr)}.")
    return done.stdout


def database_name(database_url: str) -> str:
    """The database that a URL names."""
    parameters = conninfo_to_dict(libpq_url(database_url))
    return str(parameters.get("dbname") or parameters["user"])


def at_database(database_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(database_url)._replace(path="/" + quote(name, safe="")))


def _gist(text: str) -> str:
    """The line that says what is wrong: the first that speaks of an error, else the last."""
    lines = [line.strip().rstrip(".") for line in text.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if "error" in line.lower() or "failed" in line), lines[-1])
