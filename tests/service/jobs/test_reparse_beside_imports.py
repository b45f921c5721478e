"""Replies read again while others want the dataset for themselves: imports, and who deletes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.admission import lock_dataset
from shared.corpus.baseline import LOCK_DATASET, ImportReport, import_baseline
from shared.corpus.datasets import delete_dataset
from shared.corpus.decontaminate import remove_benchmark
from shared.database.engine import engine_for
from shared.errors import Conflict
from shared.ids import JobId
from shared.jobs.control import cancel_job
from tests.service.jobs.test_reparse import RECORD, check_counts, reparse, stored
from tests.service.jobs.world import fetch, held_batch, pid_of, until_blocked_by

ASKED = "What is the main reason why cats purr so loudly when they sleep at night in a warm kitchen of the old farm?"
NEAR = ASKED.replace("in a warm", "in the warm")
OWN = "SELECT text, job_id IS NULL FROM question WHERE dataset_id = (SELECT id FROM dataset WHERE name = :name)"
WAITS_FOR = "SELECT pid FROM pg_stat_activity WHERE :pid = ANY (pg_blocking_pids(pid))"
IN_TRANSACTION = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'
"""


@pytest.fixture
async def ended(engine: AsyncEngine, job_id: JobId) -> JobId:
    """A cancelled job with a reply that an older parser found nothing in."""
    await stored(engine, (await held_batch(engine, job_id)).hold, {"questions": [ASKED]}, **RECORD)
    await cancel_job(engine, job_id)
    return job_id


class SlowImport:
    """An import of one question, which comes once it is sent."""

    def __init__(self, engine: AsyncEngine, dataset: str, question: str) -> None:
        self._engine = engine
        self._line = orjson.dumps({"question": question, "domain": "math", "difficulty": "easy"})
        self._begun = asyncio.Event()
        self.send = asyncio.Event()
        self.report = asyncio.create_task(import_baseline(engine, dataset, self._upload()))

    async def pid(self) -> int:
        """The backend that holds the dataset for it."""
        await self._begun.wait()
        [(pid,)] = await fetch(self._engine, IN_TRANSACTION)
        return int(pid)

    async def _upload(self) -> AsyncIterator[bytes]:
        self._begun.set()
        await self.send.wait()
        yield self._line


@pytest.mark.parametrize(("imported", "refused"), [(NEAR, "near"), (ASKED, "exact")])
async def test_what_an_import_brings_is_compared_with_too(
    engine: AsyncEngine, ended: JobId, dataset: str, imported: str, refused: str
) -> None:
    # Promise 2. The import waits for nobody that waits for it, so none of the two is rolled back.
    slow = SlowImport(engine, dataset, imported)
    importing = await slow.pid()
    rereading = asyncio.create_task(reparse(engine, ended))
    await until_blocked_by(engine, importing)
    slow.send.set()
    assert await slow.report == ImportReport(read=1, imported=1)
    told = await rereading
    assert (told["admitted"], told["refused"]) == (0, {refused: 1})
    assert await fetch(engine, OWN, name=dataset) == [(imported, True)]
    await check_counts(engine, ended)


@asynccontextmanager
async def held_up(engine: AsyncEngine, ended: JobId) -> AsyncIterator[tuple["asyncio.Task[dict[str, Any]]", int]]:
    """A reparse that has begun, and its process; it goes on when the block ends, and somebody else admits no more."""
    [(dataset_id,)] = await fetch(engine, "SELECT dataset_id FROM job WHERE id = :id", id=ended)
    async with engine.connect() as admitting:
        await lock_dataset(admitting, dataset_id)
        rereading = asyncio.create_task(reparse(engine, ended))
        await until_blocked_by(engine, await pid_of(admitting))
        [(reader,)] = await fetch(engine, WAITS_FOR, pid=await pid_of(admitting))
        yield rereading, reader


async def test_an_import_waits_for_replies_that_are_being_read(engine: AsyncEngine, ended: JobId, dataset: str) -> None:
    async with held_up(engine, ended) as (rereading, reader):
        slow = SlowImport(engine, dataset, ASKED)
        slow.send.set()
        await until_blocked_by(engine, reader)
    assert (await rereading)["admitted"] == 1
    assert await slow.report == ImportReport(read=1, duplicates=1)


async def test_a_dataset_is_deleted_once_its_replies_are_read(engine: AsyncEngine, ended: JobId, dataset: str) -> None:
    async with held_up(engine, ended) as (rereading, reader):
        deleting = asyncio.create_task(delete_dataset(engine, dataset))
        await until_blocked_by(engine, reader)
    assert (await rereading)["admitted"] == 1
    await deleting
    assert await fetch(engine, "SELECT 1 FROM job WHERE id = :id", id=ended) == []


async def test_who_waits_in_vain_for_an_import_is_told_so_and_has_lost_nothing(
    engine: AsyncEngine, database_url: str, ended: JobId, dataset: str
) -> None:
    # Such an engine leaves the limits to the URL; our own is 20 s.
    hasty_url = f"{database_url}?options=-c%20lock_timeout%3D100ms"
    async with engine_for(hasty_url, application="hasty", pooled=True) as hasty, engine.connect() as importing:
        await importing.execute(LOCK_DATASET, {"name": dataset})
        told = f"dataset {dataset} is being imported into"
        for dry_run in (True, False):
            with pytest.raises(Conflict, match=f"{told}; read again after it"):
                await reparse(hasty, ended, dry_run=dry_run)
        with pytest.raises(Conflict, match=told):
            await delete_dataset(hasty, dataset)
        with pytest.raises(Conflict, match=told):
            await remove_benchmark(hasty, dataset, "a-benchmark")
        with pytest.raises(Conflict, match=f"another import into dataset {dataset} is under way"):
            await SlowImport(hasty, dataset, NEAR).report
    assert (await reparse(engine, ended))["admitted"] == 1
