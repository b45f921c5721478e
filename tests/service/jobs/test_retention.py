"""Pruning takes what nobody asks for any more, and none of the promises with it."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.datasets import delete_dataset, find_duplicates
from shared.errors import InvalidInput
from shared.ids import JobId, new_job_id
from shared.jobs.archive import Archived, Ledger, archive_chunk, archive_job, why_kept
from shared.jobs.control import pause_job
from shared.jobs.incidents import note_fenced_off
from shared.jobs.progress import list_batches, list_calls, read_job
from shared.jobs.raw_replies import Cleared, clear_replies
from shared.jobs.retention import Ages, Pruned, choose_ages, prune
from shared.jobs.submit import submit_job
from shared.llm.ledger import Settlement, settle_calls, unparsed_replies
from shared.settings import Settings
from tests.service.jobs.past import (
    COST,
    PAID,
    RAW,
    TEXTS,
    WORST,
    end,
    everything_kept,
    judged,
    live,
    opened,
    paid,
    rows_of,
)
from tests.service.jobs.world import batches_of, execute, fetch, held_batch, make_spec, pid_of, submit, until_blocked_by

MONTH_YEAR = Ages(30, 365)
REFUSED = [TEXTS[0], "Too \ufffd odd?"]
ALL_BYTES = 3 * len(RAW.encode()) + len("busy") + sum(len(each.encode()) for each in REFUSED)


@pytest.fixture(autouse=True)
async def emptied(engine: AsyncEngine) -> None:
    """A prune looks at all jobs, so each test has the database for itself."""
    await execute(engine, "TRUNCATE dataset CASCADE")


def counted(pruned: Pruned) -> dict[str, Any]:
    told = pruned.to_json()
    return {
        "raw": tuple(told["raw"].values()),
        "archived": tuple(told["archived"].values()),
        "skipped": told["skipped"],
    }


NOTHING = {"raw": (0, 0, 0, 0), "archived": (0, 0, 0), "skipped": []}
RAW_ONLY = {"raw": (1, 4, ALL_BYTES, 1), "archived": (0, 0, 0), "skipped": []}
BOTH = {**RAW_ONLY, "archived": (1, 5, 2)}


async def test_after_a_month_the_replies_go_and_the_ledger_stays(
    engine: AsyncEngine, job_id: JobId, dataset: str
) -> None:
    hold = await live(engine, job_id)
    await end(engine, job_id, days_ago=31)
    kept, rows = await everything_kept(engine, job_id, dataset), await rows_of(engine, job_id)
    shown, calls = await read_job(engine, job_id), await list_calls(engine, job_id, state=None, after=None, limit=9)
    assert counted(await prune(engine, MONTH_YEAR, dry_run=True)) == RAW_ONLY
    assert counted(await prune(engine, MONTH_YEAR)) == RAW_ONLY
    assert await fetch(engine, "SELECT COUNT(*) FROM call WHERE raw IS NOT NULL") == [(0,)]
    assert await fetch(engine, "SELECT COUNT(*) FROM call WHERE raw_pruned_at IS NOT NULL") == [(4,)]
    reasons = await fetch(engine, "SELECT reason, text, question_id IS NULL FROM rejection ORDER BY reason")
    assert reasons == [("control character", None, True), ("exact", None, False)]
    assert (await everything_kept(engine, job_id, dataset), await rows_of(engine, job_id)) == (kept, rows)
    assert await read_job(engine, job_id) == shown
    assert await list_calls(engine, job_id, state=None, after=None, limit=9) == calls
    assert counted(await prune(engine, MONTH_YEAR)) == NOTHING
    async with engine.connect() as conn:
        assert await unparsed_replies(conn, hold) == []  # for a holder that has not heard of the end yet


async def test_after_a_year_what_people_see_of_a_job_is_what_they_saw(
    engine: AsyncEngine, job_id: JobId, dataset: str
) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    kept, shown = await everything_kept(engine, job_id, dataset), await read_job(engine, job_id)
    duplicates = await find_duplicates(engine, dataset, [*TEXTS, "Is this one new?"])
    assert counted(await prune(engine, MONTH_YEAR, dry_run=True)) == BOTH
    assert counted(await prune(engine, MONTH_YEAR)) == BOTH
    assert await rows_of(engine, job_id) == {"call": 0, "batch": 0, "rejection": 0, "incident": 0, "job_archive": 1}
    archived = await read_job(engine, job_id)
    assert archived["archived_at"] is not None
    assert {**archived, "archived_at": None} == shown
    assert shown["progress"]["calls"]["sent"] == 5
    assert shown["progress"]["incidents"]["fenced_off"] == 1
    assert await everything_kept(engine, job_id, dataset) == kept
    assert len(kept["export"].splitlines()) == 4
    assert await find_duplicates(engine, dataset, [*TEXTS, "Is this one new?"]) == duplicates
    assert await list_calls(engine, job_id, state=None, after=None, limit=9) == []
    assert await list_batches(engine, job_id, state=None, after=None, limit=9) == []
    [(spent, calls)] = await fetch(engine, "SELECT spent_usd, calls FROM job_archive")
    assert [(spent,)] == await fetch(engine, "SELECT spent_usd FROM job_budget")
    assert (spent, calls) == (3 * COST + WORST, 5)
    assert counted(await prune(engine, MONTH_YEAR)) == NOTHING


@pytest.mark.parametrize("days_ago", [0, 29.9])
async def test_a_dry_run_and_a_young_job_lose_nothing(
    engine: AsyncEngine, job_id: JobId, dataset: str, days_ago: float
) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=days_ago)
    before = await everything_kept(engine, job_id, dataset), await fetch(engine, "SELECT * FROM call ORDER BY id")
    assert counted(await prune(engine, MONTH_YEAR)) == NOTHING
    assert counted(await prune(engine, Ages(0, 0), dry_run=True)) == BOTH
    after = await everything_kept(engine, job_id, dataset), await fetch(engine, "SELECT * FROM call ORDER BY id")
    assert after == before


async def test_a_running_or_paused_job_is_never_touched(engine: AsyncEngine, job_id: JobId) -> None:
    hold = await live(engine, job_id)
    await execute(engine, "UPDATE job SET created_at = 'epoch'")
    before = await fetch(engine, "SELECT * FROM call ORDER BY id")
    for state in ("running", "paused"):
        if state == "paused":
            await pause_job(engine, job_id)
        assert counted(await prune(engine, Ages(0, 0))) == NOTHING
        # Nor by its name.
        assert await archive_job(engine, job_id) == Archived()
        assert await clear_replies(engine, job_id) == Cleared()
    assert await fetch(engine, "SELECT * FROM call ORDER BY id") == before
    assert await rows_of(engine, job_id) == {"call": 5, "batch": 2, "rejection": 2, "incident": 1, "job_archive": 0}
    async with engine.connect() as conn:
        assert [each.ordinal for each in await unparsed_replies(conn, hold)] == [2]


async def test_a_later_job_draws_fresh_prompts_and_admits_no_repeat(
    engine: AsyncEngine, settings: Settings, job_id: JobId, dataset: str
) -> None:
    await live(engine, job_id)
    used = {ordinal for each in await batches_of(engine, job_id) for ordinal in ordinals(each)}
    await end(engine, job_id, days_ago=366)
    await prune(engine, MONTH_YEAR)
    later = await submit(engine, settings, make_spec(dataset))
    drawn = {ordinal for each in await batches_of(engine, later) for ordinal in ordinals(each)}
    assert drawn
    assert not drawn & used
    batch = await held_batch(engine, later)
    call_id = await paid(engine, batch.hold, batch.ordinals[0])
    assert await judged(engine, batch, call_id, [*TEXTS, "Which of these is the only new question?"]) == 1


def ordinals(batch: Any) -> range:
    return range(batch.first_ordinal, batch.first_ordinal + batch.calls)


async def test_an_idempotency_key_still_finds_its_archived_job(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    spec = make_spec(dataset)
    job_id, _ = await submit_job(engine, settings, spec, idempotency_key=dataset, request_hash=b"x")
    await end(engine, job_id, days_ago=366)
    assert counted(await prune(engine, MONTH_YEAR))["archived"] == (1, 0, 2)
    again = await submit_job(engine, settings, spec, idempotency_key=dataset, request_hash=b"x")
    assert again == (job_id, False)


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
async def test_a_prune_that_broke_off_is_finished_by_the_next(
    engine: AsyncEngine, job_id: JobId, dataset: str, rows: int
) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    kept, shown = await everything_kept(engine, job_id, dataset), await read_job(engine, job_id)
    first = await archive_chunk(engine, job_id, rows=rows)
    assert first.more
    assert sum((await rows_of(engine, job_id)).values()) > 1
    # What people see is whole at once.
    assert {**await read_job(engine, job_id), "archived_at": None} == shown
    assert await list_calls(engine, job_id, state=None, after=None, limit=9) == []
    assert await list_batches(engine, job_id, state=None, after=None, limit=9) == []
    # Whatever the age: half a ledger is of no use.
    pruned = (await prune(engine, Ages(1000, 1000))).archived
    assert (pruned.jobs, first.archived.calls + pruned.calls, first.archived.batches + pruned.batches) == (1, 5, 2)
    assert await rows_of(engine, job_id) == {"call": 0, "batch": 0, "rejection": 0, "incident": 0, "job_archive": 1}
    assert await everything_kept(engine, job_id, dataset) == kept
    assert {**await read_job(engine, job_id), "archived_at": None} == shown


@pytest.mark.parametrize("rows", [1, 2, 3])
async def test_replies_are_cleared_in_bounded_transactions(engine: AsyncEngine, job_id: JobId, rows: int) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=31)
    whole = Cleared(calls=4, texts=2, bytes=ALL_BYTES, unparsed=1)
    assert await clear_replies(engine, job_id, rows=rows) == whole
    [(transactions,)] = await fetch(
        engine, "SELECT COUNT(DISTINCT xmin::text) FROM call WHERE raw_pruned_at IS NOT NULL"
    )
    assert transactions == -(-4 // rows)


async def test_two_prunes_at_once_are_one(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    jobs = []
    for number in range(3):
        jobs.append(await submit(engine, settings, make_spec(f"{dataset}-{number}")))
        await live(engine, jobs[-1])
        await end(engine, jobs[-1], days_ago=366)
    shown = [await read_job(engine, job_id) for job_id in jobs]
    both = await asyncio.gather(*(prune(engine, MONTH_YEAR) for _ in range(4)))
    assert sum(each.raw.calls for each in both) == 12
    assert sum(each.raw.bytes for each in both) == 3 * ALL_BYTES
    assert sum(each.archived.calls for each in both) == 15
    assert sum(each.archived.batches for each in both) == 6
    for job_id, before in zip(jobs, shown, strict=True):
        assert (await rows_of(engine, job_id)) == {
            "call": 0,
            "batch": 0,
            "rejection": 0,
            "incident": 0,
            "job_archive": 1,
        }
        assert {**await read_job(engine, job_id), "archived_at": None} == before


async def test_a_ledger_that_does_not_add_up_is_kept_and_reported(
    engine: AsyncEngine, settings: Settings, job_id: JobId, dataset: str
) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    other = await submit(engine, settings, make_spec(f"{dataset}-sound"))
    await end(engine, other, days_ago=366)
    await execute(engine, "UPDATE job_budget SET spent_usd = spent_usd + 0.000000000001 WHERE job_id = :id", id=job_id)
    for dry_run in (True, False):
        told = counted(await prune(engine, MONTH_YEAR, dry_run=dry_run))
        [skipped] = told["skipped"]
        assert skipped["job_id"] == str(job_id)
        assert "adds up to $0.010390000003" in skipped["reason"]
        assert told["archived"] == (1, 0, 2)
    assert await rows_of(engine, job_id) == {"call": 5, "batch": 2, "rejection": 2, "incident": 1, "job_archive": 0}
    assert (await rows_of(engine, other))["job_archive"] == 1


async def test_a_job_whose_calls_are_not_settled_is_not_archived_yet(engine: AsyncEngine, job_id: JobId) -> None:
    batch = await held_batch(engine, job_id)
    call_id = await opened(engine, batch.hold, 0)
    await end(engine, job_id, days_ago=366)
    [skipped] = (await prune(engine, Ages(0, 0))).skipped
    assert skipped.reason.startswith("1 of its calls are not settled yet")
    async with engine.begin() as conn:
        assert await settle_calls(conn, [Settlement(call_id, PAID, COST)])
    assert counted(await prune(engine, Ages(0, 0))) == {
        "raw": (1, 1, len(RAW.encode()), 1),
        "archived": (1, 1, 2),
        "skipped": [],
    }
    assert (await read_job(engine, job_id))["progress"]["cost_usd"] == float(COST)


async def test_a_reply_that_comes_while_its_job_is_archived_counts_or_comes_too_late(
    engine: AsyncEngine, job_id: JobId
) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    [(lost,)] = await fetch(engine, "SELECT id FROM call WHERE state = 'unknown'")
    async with engine.connect() as conn:
        assert await settle_calls(conn, [Settlement(lost, PAID, COST)])
        archiving = asyncio.create_task(archive_job(engine, job_id))
        await until_blocked_by(engine, await pid_of(conn))
        await conn.commit()
        assert (await archiving).calls == 5
    assert await fetch(engine, "SELECT spent_usd FROM job_archive") == [(4 * COST,)]
    assert await fetch(engine, "SELECT spent_usd FROM job_budget") == [(4 * COST,)]
    async with engine.begin() as conn:
        assert not await settle_calls(conn, [Settlement(lost, PAID, COST)])
    assert await fetch(engine, "SELECT spent_usd FROM job_budget") == [(4 * COST,)]


async def test_a_reply_that_comes_in_the_middle_of_archiving_waits_and_comes_too_late(
    engine: AsyncEngine, job_id: JobId
) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    [(lost,)] = await fetch(engine, "SELECT id FROM call WHERE state = 'unknown'")

    async def settle() -> bool:
        async with engine.begin() as conn:
            return bool(await settle_calls(conn, [Settlement(lost, PAID, COST)]))

    async with engine.begin() as conn:
        await conn.execute(text("LOCK TABLE job_cell"))  # archiving waits here, between the sums and the record
        archiving = asyncio.create_task(archive_job(engine, job_id))
        await until_waiting(engine, 1)
        settling = asyncio.create_task(settle())
        await until_waiting(engine, 2)
    assert await archiving == Archived(calls=5, batches=2)
    assert not await settling
    budget = await fetch(engine, "SELECT spent_usd FROM job_budget")
    assert budget == await fetch(engine, "SELECT spent_usd FROM job_archive") == [(3 * COST + WORST,)]


async def test_two_who_archive_one_job_wait_for_each_other(engine: AsyncEngine, job_id: JobId) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    async with engine.begin() as conn:
        await conn.execute(text("LOCK TABLE job_cell"))
        both = [asyncio.create_task(archive_job(engine, job_id)) for _ in range(2)]
        await until_waiting(engine, 2)
    assert sorted(each.calls for each in await asyncio.gather(*both)) == [0, 5]
    assert [each.result().kept_because for each in both] == [None, None]


async def until_waiting(engine: AsyncEngine, backends: int) -> None:
    """Return once this many wait for locks."""
    waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while (await fetch(engine, waiting)) != [(backends,)]:  # noqa: ASYNC110 - a waiting backend sends no event
            await asyncio.sleep(0.005)


async def test_what_a_stale_holder_notes_afterwards_goes_with_the_next_prune(
    engine: AsyncEngine, job_id: JobId
) -> None:
    hold = await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    await prune(engine, MONTH_YEAR)
    async with engine.begin() as conn:
        await note_fenced_off(conn, hold, worker="woken")
    assert counted(await prune(engine, MONTH_YEAR))["archived"] == (1, 0, 0)
    assert (await rows_of(engine, job_id))["incident"] == 0
    assert counted(await prune(engine, MONTH_YEAR)) == NOTHING


async def test_what_can_still_be_settled_goes_with_the_record(engine: AsyncEngine, job_id: JobId) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    await archive_chunk(engine, job_id, rows=1)
    assert await fetch(engine, "SELECT COUNT(*), COUNT(*) FILTER (WHERE state = 'unknown') FROM call") == [(3, 0)]


async def test_a_reader_sees_a_job_before_or_after_never_in_between(engine: AsyncEngine, job_id: JobId) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    shown = await read_job(engine, job_id)
    async with engine.begin() as conn:
        await conn.execute(text("LOCK TABLE job_cell"))  # the reader waits here, in the middle of its counts
        await conn.execute(text("DELETE FROM batch"))
        reading = asyncio.create_task(read_job(engine, job_id))
        await until_blocked_by(engine, await pid_of(conn))
    assert await reading == shown


async def test_a_dataset_takes_its_archived_jobs_along(engine: AsyncEngine, job_id: JobId, dataset: str) -> None:
    await live(engine, job_id)
    await end(engine, job_id, days_ago=366)
    await prune(engine, MONTH_YEAR)
    await delete_dataset(engine, dataset)
    assert await fetch(engine, "SELECT COUNT(*) FROM job_archive") == [(0,)]
    assert await archive_job(engine, new_job_id()) == Archived()


def test_the_ages_are_those_asked_for_or_set() -> None:
    settings = Settings(raw_days=7, ledger_days=70)
    assert choose_ages(Settings(), raw_days=None, ledger_days=None) == MONTH_YEAR
    assert choose_ages(settings, raw_days=None, ledger_days=None) == Ages(7, 70)
    assert choose_ages(settings, raw_days=0, ledger_days=0) == Ages(0, 0)
    with pytest.raises(InvalidInput) as caught:
        choose_ages(settings, raw_days=None, ledger_days=6)
    assert [each.loc for each in caught.value.errors] == ["ledger_days"]


@pytest.mark.parametrize(
    ("spent", "held", "under_way", "word"),
    [("1", "0", 0, None), ("1", "0.1", 1, "not settled"), ("2", "0", 0, "adds up"), ("1", "0.1", 0, "still held")],
)
def test_only_a_settled_ledger_that_adds_up_may_go(spent: str, held: str, under_way: int, word: str | None) -> None:
    reason = why_kept(Ledger(Decimal(spent), Decimal(held), Decimal(1), 5, under_way))
    assert (reason is None) if word is None else (reason is not None and word in reason)
