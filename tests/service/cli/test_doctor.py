"""What `questmill doctor` finds on a real database and a real API."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connection import Client
from cli.doctor_check import Check, Verdict
from cli.doctor_jobs import paused_jobs, workers_check
from cli.doctor_servers import database_checks
from tests.unit.cli.conftest import Here, here

__all__ = ["here"]


def of_database(url: str) -> dict[str, Check]:
    return {each.name: each for each in database_checks(url)}


def test_a_reconciler_is_seen_only_while_it_is_connected(database_url: str) -> None:
    found = of_database(database_url)
    assert (found["database"].verdict, found["schema"].verdict) == (Verdict.OK, Verdict.OK)
    assert found["clock of the database"].verdict is Verdict.OK
    assert found["reconciler"].verdict is Verdict.MISSING
    assert "no job moves" in found["reconciler"].text
    with psycopg.connect(database_url, application_name="questmill-reconciler"):
        assert of_database(database_url)["reconciler"].verdict is Verdict.OK


@pytest.fixture
async def schema(engine: AsyncEngine) -> AsyncIterator[Any]:
    """Sets the version that the database says it has; put back afterwards."""

    async def run(statement: str, **values: str) -> None:
        async with engine.begin() as conn:
            await conn.execute(text(statement), values)

    async with engine.connect() as conn:
        version = (await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    yield run
    await run("DELETE FROM alembic_version")
    await run("INSERT INTO alembic_version VALUES (:version)", version=version)


async def test_an_old_a_newer_and_no_schema_are_told_apart(database_url: str, schema: Any) -> None:
    for version, verdict, told in (
        ("0001", Verdict.MISSING, "is older than this release's"),
        # While processes of two releases run beside each other, those of the former are in order.
        ("9999", Verdict.OK, "9999, of a later release than this one's"),
        ("d41c8cd98f00", Verdict.MISSING, "is unknown to this release"),
    ):
        await schema("UPDATE alembic_version SET version_num = :version", version=version)
        found = of_database(database_url)["schema"]
        assert found.verdict is verdict
        assert told in found.text
    await schema("DELETE FROM alembic_version")
    assert "./run up makes its tables" in of_database(database_url)["schema"].text


async def test_no_worker_and_paused_jobs_are_told(api_url: str, spec: dict[str, Any], engine: AsyncEngine) -> None:
    with Client(api_url) as client:
        assert workers_check(client).verdict is Verdict.OK
        assert list(paused_jobs(client)) == []
        job = client.pause(client.submit(spec)["id"])
        (found,) = paused_jobs(client)
        assert found.verdict is Verdict.NOTE
        assert f"resume {job['id']}" in found.text
        async with engine.begin() as conn:
            await conn.execute(text("UPDATE provider SET seen_at = 'epoch'"))
        found = workers_check(client)
        assert found.verdict is Verdict.MISSING
        assert "start one (./run up, ./run worker)" in found.text
        async with engine.begin() as conn:
            await conn.execute(text("UPDATE provider SET seen_at = clock_timestamp()"))


def test_the_command_looks_at_all_of_it(here: Here, api_url: str, database_url: str) -> None:
    here.monkeypatch.setenv("DATABASE_URL", database_url)
    verdicts = {each["name"]: each["verdict"] for each in here.at(api_url).json("doctor", status=1)}
    assert (verdicts["reconciler"], verdicts["clock of the API"], verdicts["schema"]) == ("missing", "ok", "ok")
