"""Backup and restore of a database: what comes back, what a restore must change, and what stands in the way."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from time import sleep
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import insert

from local import pg_client
from local import restore as restoring
from local.backup import back_up
from local.home import Home
from local.pg_client import at_database, database_name
from local.process import LocalProblem
from local.restore import restore, undo
from shared.database.engine import engine_for
from shared.database.fence import confirm_hold
from shared.database.schema import alembic_config
from shared.database.tables import job_cell
from shared.errors import FencedOff
from shared.ids import CallId, new_call_id
from shared.jobs.claim import claim
from shared.llm.budget import read_budget
from shared.llm.ledger import NewCall, book_unknown, open_call
from shared.settings import Settings
from tests.service.factories import CELL, lease_batch, make_batch, make_dataset, make_job

ROOT = Path(__file__).parents[3]


@pytest.fixture
def url(postgres_url: str, template_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated database of this test, which DATABASE_URL names; what is made of it goes with it."""
    name = f"questmill_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        server.execute(clone.format(sql.Identifier(name), sql.Identifier(template_database)))
        monkeypatch.setenv("DATABASE_URL", at_database(postgres_url, name))
        yield at_database(postgres_url, name)
        for each in databases(postgres_url, name):
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(each)))


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a backup.dump"


def databases(url: str, prefix: str) -> list[str]:
    with psycopg.connect(url) as server:
        like = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1", [prefix])
        return [name for (name,) in like]


def names_of_datasets(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM dataset ORDER BY name")]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def add_dataset(url: str, name: str) -> None:
    execute(url, f"INSERT INTO dataset (name) VALUES ('{name}')")


def agree(_: str) -> bool:
    return True


def test_a_restore_brings_the_backup_and_keeps_what_was_there(settings: Settings, url: str, file: Path) -> None:
    add_dataset(url, "before")
    said: list[str] = []
    back_up(settings, file, said.append, force=False)
    assert "1 dataset, 0 jobs, 0 questions" in said[0]
    assert said[1].endswith(f"./run restore '{file}'")
    assert file.stat().st_mode & 0o777 == 0o600
    add_dataset(url, "later")
    asked: list[str] = []

    def agree_aloud(what: str) -> bool:
        asked.append(what)
        return True

    assert restore(settings, file, agree_aloud, said.append)
    assert "(2 datasets, 0 jobs, 0 questions)" in asked[0]
    assert names_of_datasets(url) == ["before"]
    [now, kept] = databases(url, database_name(url))
    assert now == database_name(url)
    assert names_of_datasets(at_database(url, kept)) == ["before", "later"]
    assert f"./run restore --undo {kept}" in said[-2]

    assert undo(settings, kept, agree, said.append)
    assert names_of_datasets(url) == ["before", "later"]
    assert len(databases(url, database_name(url))) == 2


def test_a_database_that_is_gone_comes_back(settings: Settings, url: str, postgres_url: str, file: Path) -> None:
    add_dataset(url, "before")
    back_up(settings, file, print, force=False)
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(database_name(url))))
    assert restore(settings, file, agree, print)
    assert names_of_datasets(url) == ["before"]
    assert databases(url, database_name(url)) == [database_name(url)]


async def test_a_holder_from_before_a_restore_is_stale_after_it(settings: Settings, url: str, file: Path) -> None:
    async with engine_for(url, application="a test") as engine, engine.begin() as conn:
        job_id = await make_job(conn, await make_dataset(conn, "fences"))
        cell = {"job_id": job_id, "domain": CELL.domain, "difficulty": CELL.difficulty, "target": 1, "mean_tokens": 15}
        await conn.execute(insert(job_cell).values(**cell))
        free, held = await make_batch(conn, job_id), await make_batch(conn, job_id)
        in_dump = await lease_batch(conn, held)
    back_up(settings, file, print, force=False)
    async with engine_for(url, application="a test") as engine, engine.begin() as conn:
        after_dump = await lease_batch(conn, free)

    new_fences = []
    for _ in range(2):  # of the same file: a holder of the first restore is stale in the second
        restore(settings, file, agree, print)
        async with engine_for(url, application="a test") as engine:
            async with engine.begin() as conn:
                claims = [
                    await claim(conn, each, worker="new", lease_seconds=60, max_attempts=5) for each in (free, held)
                ]
            await asyncio.sleep(1.1)  # fences after a restore count in seconds; no two restores are nearer than a start
            new_fences.append({claimed.hold.fence for claimed in claims if claimed})
            for stale in (in_dump, after_dump):
                async with engine.connect() as conn:
                    with pytest.raises(FencedOff):
                        await confirm_hold(conn, stale)
    assert min(new_fences[0]) > 20_000_000
    assert new_fences[0].isdisjoint(new_fences[1])


async def test_calls_in_flight_at_the_backup_are_booked_at_their_worst_after_a_restore(
    settings: Settings, url: str, file: Path
) -> None:
    worst = Decimal("0.25")
    call_id: CallId = new_call_id()
    async with engine_for(url, application="a test") as engine, engine.begin() as conn:
        job_id = await make_job(conn, await make_dataset(conn, "calls"))
        hold = await lease_batch(conn, await make_batch(conn, job_id))
        await open_call(conn, NewCall(hold, call_id=call_id, ordinal=0, model="openai/x", prompt={}, worst_usd=worst))
    back_up(settings, file, print, force=False)
    restore(settings, file, agree, print)
    async with engine_for(url, application="a test") as engine, engine.begin() as conn:
        assert await book_unknown(conn, batch_id=hold.batch_id) == 1
        budget = await read_budget(conn, job_id)
    assert (budget.spent_usd, budget.held_usd) == (worst, Decimal(0))


def test_an_older_backup_is_brought_up_to_date(settings: Settings, url: str, file: Path) -> None:
    config = alembic_config(url)
    command.downgrade(config, "0001")
    back_up(settings, file, print, force=False)
    command.upgrade(config, "head")
    restore(settings, file, agree, print)
    execute(url, "SELECT * FROM incident")
    command.check(config)


def test_a_newer_backup_is_refused_and_nothing_changes(settings: Settings, url: str, file: Path) -> None:
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    back_up(settings, file, print, force=False)
    add_dataset(url, "later")
    with pytest.raises(LocalProblem, match=r"of a newer Questmill: its schema 9999 is .* Nothing was replaced\."):
        restore(settings, file, agree, print)
    assert names_of_datasets(url) == ["later"]
    assert databases(url, database_name(url)) == [database_name(url)]


def test_another_database_is_no_backup_of_questmill(settings: Settings, url: str, file: Path) -> None:
    pg_client.run_client("pg_dump", ["--format=custom", f"--file={file}"], at_database(url, "postgres"))
    with pytest.raises(LocalProblem, match="not one of Questmill"):
        restore(settings, file, agree, print)
    assert databases(url, database_name(url)) == [database_name(url)]


def test_whoever_is_connected_is_named_and_stops_a_restore(settings: Settings, url: str, file: Path) -> None:
    back_up(settings, file, print, force=False)
    with (
        psycopg.connect(url, application_name="questmill-worker"),
        psycopg.connect(url, application_name="questmill-worker"),
        psycopg.connect(url, application_name="psql"),
        pytest.raises(LocalProblem, match=r"psql \(1\), questmill-worker \(2\)\. Stop them first"),
    ):
        restore(settings, file, agree, print)


def test_who_is_just_leaving_stops_no_restore(
    settings: Settings, url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(settings, file, print, force=False)
    leaving = psycopg.connect(url, application_name="questmill-worker")

    def leave(seconds: float) -> None:
        leaving.close()
        sleep(seconds)

    monkeypatch.setattr(restoring, "sleep", leave)
    assert restore(settings, file, agree, print)


def test_a_worker_that_comes_during_a_restore_stops_it(settings: Settings, url: str, file: Path) -> None:
    back_up(settings, file, print, force=False)
    late: list[psycopg.Connection] = []

    def worker_comes(_: str) -> bool:
        late.append(psycopg.connect(url, application_name="questmill-worker"))
        return True

    try:
        with pytest.raises(LocalProblem, match=r"questmill-worker \(1\).*Nothing was replaced\."):
            restore(settings, file, worker_comes, print)
    finally:
        late[0].close()
    assert databases(url, database_name(url)) == [database_name(url)]


def test_a_running_system_stops_a_restore(settings: Settings, file: Path) -> None:
    back_up(settings, file, print, force=False)
    with (
        Home(settings.home).held("http://127.0.0.1:8000"),
        pytest.raises(LocalProblem, match=r"already runs .* stop it first"),
    ):
        restore(settings, file, agree, print)


def test_two_restores_at_once_are_one(settings: Settings, url: str, file: Path, tmp_path: Path) -> None:
    back_up(settings, file, print, force=False)
    other = Settings(home=tmp_path / "other")

    def meanwhile(_: str) -> bool:
        with pytest.raises(LocalProblem, match="Another restore is under way"):
            restore(other, file, agree, print)
        return False

    assert not restore(settings, file, meanwhile, print)


def test_an_existing_file_is_replaced_only_by_force(settings: Settings, file: Path) -> None:
    file.write_text("precious")
    with pytest.raises(LocalProblem, match="exists already; choose another FILE, or overwrite it with --force"):
        back_up(settings, file, print, force=False)
    assert file.read_text() == "precious"
    link = file.with_name("latest.dump")
    link.symlink_to(file)
    back_up(settings, link, print, force=True)
    assert file.read_bytes().startswith(b"PGDMP")
    assert link.is_symlink()


def test_a_backup_takes_the_place_of_files_alone(settings: Settings, file: Path) -> None:
    with pytest.raises(LocalProblem, match="is a folder; name a file in it"):
        back_up(settings, file.parent, print, force=True)
    os.mkfifo(file)
    with pytest.raises(LocalProblem, match="is no file; choose another FILE"):
        back_up(settings, file, print, force=True)
    assert file.is_fifo()


def test_a_backup_that_fails_leaves_the_old_file_and_no_other(settings: Settings, url: str, file: Path) -> None:
    file.write_text("precious")
    execute(url, "DROP TABLE dataset CASCADE")
    with pytest.raises(LocalProblem, match="holds no Questmill"):
        back_up(settings, file, print, force=True)
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]
    assert file.read_text() == "precious"


def test_a_file_that_is_no_backup_is_refused(settings: Settings, file: Path) -> None:
    file.write_text("no dump")
    with pytest.raises(LocalProblem, match="is not a backup"):
        restore(settings, file, agree, print)


def test_a_user_who_may_not_create_databases_is_told_what_to_do(
    settings: Settings, url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(settings, file, print, force=False)
    user = f"lowly_{uuid4().hex[:8]}"
    execute(url, f"CREATE USER {user} PASSWORD 'guess'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}")
    place = conninfo_to_dict(url)
    own = f"postgresql://{user}:guess@{place['host']}:{place['port']}/{place['dbname']}"
    monkeypatch.setenv("DATABASE_URL", own)
    try:
        with pytest.raises(LocalProblem, match=r"does not let .* create and rename databases.*docs/backup\.md"):
            restore(Settings(home=settings.home), file, agree, print)
    finally:
        execute(url, f"DROP OWNED BY {user}; DROP USER {user}")


def make_client(folder: Path, version: str) -> Path:
    """Programs in the place of Postgres's own, which tell what they were told."""
    (folder / "bin").mkdir()
    program = folder / "bin/pg_dump"
    program.write_text(
        f'#!/bin/sh\necho "pg_dump (PostgreSQL) {version}"\nprintf "%s\\n" "$@"\necho "password $PGPASSWORD"\n'
    )
    program.chmod(0o755)
    return folder


def test_a_password_is_never_on_a_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pg_client, "find_postgres", lambda: make_client(tmp_path, "18.1"))
    told = pg_client.run_client("pg_dump", ["--verbose"], "postgresql://me:s%40cret@host:5433/mine?sslmode=require")
    *words, password = told.splitlines()[1:]
    assert password == "password s@cret"
    assert words == [
        "--verbose",
        "--no-password",
        "--dbname",
        "user=me dbname=mine host=host port=5433 sslmode=require",
    ]


@pytest.mark.parametrize("ours", ["17.2", "99.0"])
def test_a_newer_server_than_the_client_programs_is_one_sentence(
    ours: str, settings: Settings, url: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_client(tmp_path, ours)
    monkeypatch.setattr(pg_client, "find_postgres", lambda: folder)
    with psycopg.connect(url) as connection:
        server = connection.info.server_version // 10_000
        if server > int(ours.partition(".")[0]):
            with pytest.raises(LocalProblem, match=f"use the pg_dump and pg_restore of Postgres {server}"):
                pg_client.check_server_version(connection)
        else:
            pg_client.check_server_version(connection)


def run_local(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_nobody_to_ask_is_a_refusal_that_names_yes(settings: Settings, url: str, file: Path) -> None:
    home = {"QUESTMILL_HOME": str(settings.home)}
    add_dataset(url, "before")
    assert run_local("backup", str(file), **home).returncode == 0
    add_dataset(url, "later")
    ended = run_local("restore", str(file), **home)
    assert ended.returncode == 2
    assert "Nobody is there to answer; --yes goes on without asking. Nothing was replaced.\n" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert names_of_datasets(url) == ["before", "later"]
    ended = run_local("restore", str(file), "--yes", **home)
    assert ended.returncode == 0, ended.stderr
    assert names_of_datasets(url) == ["before"]


def test_a_home_without_a_database_is_one_sentence(tmp_path: Path) -> None:
    ended = run_local("backup", str(tmp_path / "file"), QUESTMILL_HOME=str(tmp_path), DATABASE_URL="")
    assert ended.stderr == f"There is no database in {tmp_path}: set QUESTMILL_HOME or DATABASE_URL.\n"
    assert ended.returncode == 2
