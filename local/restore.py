"""`./run restore`: a backup beside the present database first, and in its place once it is whole."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import psycopg
from alembic.util import CommandError
from psycopg import sql

from local.home import Home
from local.pg_client import (
    BY_HAND,
    Connection,
    at_database,
    check_server_version,
    connected,
    count_contents,
    database_name,
    own_server,
    run_client,
)
from local.process import LocalProblem
from shared.database.schema import upgrade
from shared.settings import Settings

AFTER_RESTORE = Path(__file__).with_name("after_restore.sql")
APPLICATION = "questmill-restore"
# Advisory locks are per database: this one is taken in the maintenance database.
RESTORE_LOCK = 7_346_003
# Who has just hung up is seen for a moment more.
PAUSES_SECONDS = (0.1,) * 10
LONGEST_NAME = 63 - len("_before_restore_20261231_235959_000")

CONNECTED_TO = """
    SELECT COALESCE(NULLIF(application_name, ''), 'process ' || pid) AS name, count(*) FROM pg_stat_activity
    WHERE datname = %s AND usesysid IS NOT NULL AND pid <> pg_backend_pid() GROUP BY 1 ORDER BY 1
"""

DROP = "DROP DATABASE IF EXISTS {} WITH (FORCE)"

Ask = Callable[[str], bool]
Say = Callable[[str], None]


def restore(settings: Settings, file: Path, ask: Ask, say: Say) -> bool:
    """Put the backup in the place of the database, which is kept under another name; False when `ask` says no.

    Raises LocalProblem when something stands in the way; then nothing was changed.
    """
    if not file.is_file():
        raise LocalProblem(f"There is no file {file}.")
    try:
        created = re.findall(r"Archive created at (.+)", run_client("pg_restore", ["--list", str(file)]))[0]
    except (LocalProblem, IndexError) as error:
        raise LocalProblem(f"{file} is not a backup that this pg_restore can read.") from error
    with _exclusive_server(settings) as (url, server):
        database = database_name(url)
        draft = f"{database[:LONGEST_NAME]}_restore"
        if not ask(f"This replaces {_describe(server, url)} by the backup of {created}."):
            return False
        try:
            _execute(server, DROP, draft)  # of a restore that was cut off
            _execute(server, "CREATE DATABASE {} TEMPLATE template0", draft)
            run_client(
                "pg_restore", ["--exit-on-error", "--no-owner", "--no-privileges", str(file)], at_database(url, draft)
            )
            _make_ready(at_database(url, draft))
            with connected(at_database(url, draft), APPLICATION) as connection:
                contents = count_contents(connection)
            kept = _swap(server, database, draft)
        except BaseException:
            with suppress(LocalProblem, psycopg.Error):  # what went wrong before is what counts
                _execute(server, DROP, draft)
            raise
    say(f"Restored into {database}: {contents}.")
    say("What was paid after the backup was made is not in its ledger: the provider charged that besides.")
    _say_kept(say, kept)
    return True


def undo(settings: Settings, name: str, ask: Ask, say: Say) -> bool:
    """Put a database that a restore kept back in its place; the present one is kept in turn. Else like `restore`."""
    with _exclusive_server(settings) as (url, server):
        database = database_name(url)
        prefix = f"{database[:LONGEST_NAME]}_before_restore_"
        there = [each for each in _databases(server) if each.startswith(prefix)]
        if name not in there:
            raise LocalProblem(f"No restore kept a database {name}; there are: {', '.join(there) or 'none'}.")
        if not ask(f"This replaces {_describe(server, url)} by {name}."):
            return False
        _make_ready(at_database(url, name))
        kept = _swap(server, database, name)
    say(f"{name} is {database} again.")
    _say_kept(say, kept)
    return True


@contextmanager
def _exclusive_server(settings: Settings) -> Iterator[tuple[str, Connection]]:
    """The database's URL and a connection beside it, while nothing of Questmill runs on it."""
    home = Home(settings.home)
    with home.held("./run restore"), own_server(settings, home) as url:
        database = database_name(url)
        beside = "postgres" if database != "postgres" else "template1"
        try:
            with connected(at_database(url, beside), APPLICATION) as server:
                check_server_version(server)
                _refuse_another(server)
                _refuse_if_connected(server, database)
                yield url, server
        except LocalProblem as problem:
            raise LocalProblem(f"{problem.detail} Nothing was replaced.") from problem


def _refuse_another(server: Connection) -> None:
    """Raise LocalProblem while another restore is under way."""
    ((alone,),) = server.execute("SELECT pg_try_advisory_lock(%s)", [RESTORE_LOCK]).fetchall()
    if not alone:
        raise LocalProblem("Another restore is under way on this server.")


def _refuse_if_connected(server: Connection, database: str) -> None:
    """Raise LocalProblem naming who uses the database and does not leave it, our own workers or anybody else."""
    for pause_seconds in PAUSES_SECONDS:
        if not _connected_to(server, database):
            return
        sleep(pause_seconds)
    if names := _connected_to(server, database):
        raise LocalProblem(f"Still connected to the database {database}: {', '.join(names)}. Stop them first.")


def _connected_to(server: Connection, database: str) -> list[str]:
    return [f"{name} ({count})" for name, count in server.execute(CONNECTED_TO, [database])]


def _databases(server: Connection) -> list[str]:
    return [name for (name,) in server.execute("SELECT datname FROM pg_database ORDER BY datname")]


def _describe(server: Connection, url: str) -> str:
    """What a person is asked to give up."""
    name, place = database_name(url), f"{server.info.host}:{server.info.port}"
    if name not in _databases(server):
        return f"nothing (there is no database {name} on {place})"
    try:
        with connected(url, APPLICATION) as connection:
            return f"the database {name} on {place} ({count_contents(connection)})"
    except LocalProblem as problem:
        return f"the database {name} on {place} ({problem.detail})"


def _make_ready(database_url: str) -> None:
    """Check the schema, bring it up to date, free every batch. Raises LocalProblem for a schema not ours or newer."""
    with connected(database_url, APPLICATION) as connection:
        try:
            found = [revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")]
        except psycopg.errors.UndefinedTable:
            found = []
    if not found:
        raise LocalProblem("This is a Postgres database, but not one of Questmill.")
    try:
        upgrade(database_url)
    except CommandError as error:
        raise LocalProblem(
            f"This is of a newer Questmill: its schema {', '.join(found)} is not known here. "
            "Restore it with that version."
        ) from error
    with connected(database_url, APPLICATION) as connection:
        connection.execute(AFTER_RESTORE.read_bytes())


def _swap(server: Connection, database: str, incoming: str) -> str | None:
    """Rename both in one transaction; the name under which the old one is kept."""
    now = f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"[:-3]
    kept = f"{database[:LONGEST_NAME]}_before_restore_{now}" if database in _databases(server) else None
    try:
        with server.transaction():
            if kept:
                _execute(server, "ALTER DATABASE {} RENAME TO {}", database, kept)
            _execute(server, "ALTER DATABASE {} RENAME TO {}", incoming, database)
    except psycopg.errors.ObjectInUse as error:
        _refuse_if_connected(server, database)
        raise LocalProblem("Somebody was connected for a moment. Try again.") from error
    return kept


def _execute(server: Connection, statement: str, *names: str) -> None:
    try:
        server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise LocalProblem(
            f"This server does not let {server.info.user} create and rename databases. "
            f"Restore into a database that its owner makes ({BY_HAND})."
        ) from error


def _say_kept(say: Say, kept: str | None) -> None:
    if kept:
        say(f"The database of before is kept as {kept}. To have it back: ./run restore --undo {kept}")
        say(f'When nobody misses it, on the same server: DROP DATABASE "{kept}"')
