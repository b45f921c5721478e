"""Promise 8 across a backup and a migration: the sums come along, or are counted anew from the rows."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from local.pg_client import run_client
from shared.database.schema import alembic_config
from shared.database.tally import fold_changes
from shared.ids import JobId
from shared.settings import Settings
from tests.recount import COUNTS
from tests.service.conftest import at_database
from tests.service.jobs.test_tallies import History


@pytest.fixture
async def history(engine: AsyncEngine, settings: Settings, dataset: str, job_id: JobId) -> None:
    """Some folded counts and some changes since."""
    history = History(engine, dataset, job_id, Random(3))
    for _ in range(40):
        await history.step()
    await fold_changes(engine)
    for _ in range(20):
        await history.step()
    await history.bring()


@pytest.fixture
def other_database(postgres_url: str) -> Iterator[str]:
    name = f"questmill_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield at_database(postgres_url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def counts(database_url: str) -> list[list[str]]:
    """What the views tell, once it is sure that the rows say the same."""
    with psycopg.connect(database_url) as conn:
        told = [sorted(map(repr, conn.execute(view.encode()))) for view, _ in COUNTS.values()]
        assert told == [sorted(map(repr, conn.execute(rows.encode()))) for _, rows in COUNTS.values()]
    assert all(told)
    return told


def copy(database_url: str, other: str, folder: Path) -> None:
    run_client("pg_dump", ["--format=custom", "--file", str(folder / "dump")], database_url)
    run_client("pg_restore", ["--exit-on-error", "--no-owner", str(folder / "dump")], other)


@pytest.mark.usefixtures("history")
def test_a_restored_backup_has_the_sums_and_goes_on_counting(
    database_url: str, other_database: str, tmp_path: Path
) -> None:
    copy(database_url, other_database, tmp_path)
    assert counts(other_database) == counts(database_url)
    with psycopg.connect(other_database) as conn:
        conn.execute("UPDATE question SET state = 'discarded' WHERE state = 'selected'")
        conn.execute("DELETE FROM call WHERE ordinal % 2 = 0")
    counts(other_database)


@pytest.mark.usefixtures("history")
def test_a_migration_counts_what_is_there(database_url: str, other_database: str, tmp_path: Path) -> None:
    copy(database_url, other_database, tmp_path)
    config = alembic_config(other_database)
    command.downgrade(config, "0003")
    command.upgrade(config, "head")
    assert counts(other_database) == counts(database_url)
