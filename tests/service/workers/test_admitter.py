"""Replies of several batches that are admitted in one transaction."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus import admission
from shared.corpus.decontaminate import decontaminate, remove_benchmark
from shared.database.fence import Hold
from shared.errors import FencedOff, JobNotRunning
from shared.ids import CallId, JobId
from shared.jobs.claim import ClaimedBatch
from shared.jobs.control import cancel_job
from tests.service.factories import MODEL
from tests.service.jobs.world import MATH, add_call, batches_of, claim_as, execute, expire, fetch
from workers.admitter import Admitter, ReadReply

EGG = "Why does an egg harden when it is boiled in water for several minutes?"
EGG_AGAIN = "why does an egg harden when it is boiled in water for several minutes"
EGG_LIKE = "Why does an egg harden when it is boiled in water for several minutes then?"
RIVER = "Name a planet that has no river."


@pytest.fixture
def admitter(engine: AsyncEngine) -> Admitter:
    return Admitter(engine, template_cap=5)


@pytest.fixture
async def held(engine: AsyncEngine, job_id: JobId) -> list[ClaimedBatch]:
    """Both batches of the job."""
    claimed = [await claim_as(engine, batch.id) for batch in await batches_of(engine, job_id)]
    return [batch for batch in claimed if batch is not None]


def read(hold: Hold, call_id: CallId, *questions: str, flawed: Sequence[tuple[str, str]] = ()) -> ReadReply:
    usable = [(question, 12) for question in questions]
    return ReadReply(hold, MATH, call_id, MODEL, "eggs", ("eggs",), usable, flawed, Counter({"code fence": 1}))


async def admit_together(admitter: Admitter, *reads: ReadReply) -> list[list[str] | BaseException]:
    return await asyncio.gather(*map(admitter.admit, reads), return_exceptions=True)


async def counts(engine: AsyncEngine, job_id: JobId) -> list[tuple[int, int, int, object]]:
    return [(row.generated, row.admitted, row.calls_parsed, row.rejected) for row in await batches_of(engine, job_id)]


async def test_each_reply_of_a_group_gets_its_own_outcome(
    engine: AsyncEngine, job_id: JobId, held: list[ClaimedBatch], admitter: Admitter
) -> None:
    first, second = held
    calls = [await add_call(engine, batch.hold, ordinal=n) for n, batch in enumerate([first, second, second])]
    outcomes = await admit_together(
        admitter,
        read(first.hold, calls[0], EGG),
        read(second.hold, calls[1], EGG_AGAIN, RIVER),
        read(second.hold, calls[2], EGG_LIKE, flawed=[("empty", " ")]),
    )
    assert outcomes == [[EGG], [RIVER], []]
    assert await counts(engine, job_id) == [(1, 1, 1, {}), (4, 1, 2, {"exact": 1, "near": 1, "empty": 1})]
    written = "SELECT text, batch_id, call_id, fence FROM question WHERE job_id = :id ORDER BY id"
    assert await fetch(engine, written, id=job_id) == [
        (EGG, first.hold.batch_id, calls[0], 1),
        (RIVER, second.hold.batch_id, calls[1], 1),
    ]
    refused = "SELECT call_id, reason, question_id IS NOT NULL FROM rejection WHERE job_id = :id ORDER BY id"
    assert await fetch(engine, refused, id=job_id) == [
        (calls[1], "exact", True),
        (calls[2], "empty", False),
        (calls[2], "near", True),
    ]


async def test_a_stale_hold_of_a_group_is_told_so_and_the_others_are_admitted(
    engine: AsyncEngine, job_id: JobId, held: list[ClaimedBatch], admitter: Admitter
) -> None:
    stale, good = held
    calls = [await add_call(engine, batch.hold, ordinal=n) for n, batch in enumerate(held)]
    await expire(engine, stale.hold.batch_id)
    assert await claim_as(engine, stale.hold.batch_id, "another") is not None
    outcomes = await admit_together(admitter, read(stale.hold, calls[0], EGG), read(good.hold, calls[1], RIVER))
    assert isinstance(outcomes[0], FencedOff)
    assert outcomes[1] == [RIVER]
    assert await fetch(engine, "SELECT text FROM question WHERE job_id = :id", id=job_id) == [(RIVER,)]
    assert await counts(engine, job_id) == [(0, 0, 0, {}), (1, 1, 1, {})]


async def test_one_reply_twice_in_a_group_has_its_effect_once(
    engine: AsyncEngine, job_id: JobId, held: list[ClaimedBatch], admitter: Admitter
) -> None:
    hold = held[0].hold
    call_id = await add_call(engine, hold)
    outcomes = await admit_together(admitter, read(hold, call_id, EGG), read(hold, call_id, EGG))
    assert outcomes == [[EGG], [EGG]]
    assert (await counts(engine, job_id))[0] == (1, 1, 1, {})


async def test_a_reply_that_cannot_be_written_takes_no_other_along(
    engine: AsyncEngine, job_id: JobId, held: list[ClaimedBatch], admitter: Admitter
) -> None:
    hold = held[0].hold
    good, bad = [await add_call(engine, hold, ordinal=n) for n in range(2)]
    # The schema refuses what no reply brings: more candidates than a column holds.
    await execute(engine, "ALTER TABLE call ADD CONSTRAINT a_test CHECK (generated < 3)")
    try:
        outcomes = await admit_together(
            admitter,
            read(hold, good, EGG),
            read(hold, bad, RIVER, flawed=[("empty", " "), ("empty", "  ")]),
        )
    finally:
        await execute(engine, "ALTER TABLE call DROP CONSTRAINT a_test")
    assert outcomes[0] == [EGG]
    assert isinstance(outcomes[1], Exception)
    assert (await counts(engine, job_id))[0] == (1, 1, 1, {})


async def test_after_a_cancel_nothing_of_a_group_is_admitted(
    engine: AsyncEngine, job_id: JobId, held: list[ClaimedBatch], admitter: Admitter
) -> None:
    calls = [await add_call(engine, batch.hold, ordinal=n) for n, batch in enumerate(held)]
    await cancel_job(engine, job_id)
    outcomes = await admit_together(
        admitter, *(read(batch.hold, call_id, EGG) for batch, call_id in zip(held, calls, strict=True))
    )
    assert [type(each) for each in outcomes] == [JobNotRunning, JobNotRunning]
    assert await fetch(engine, "SELECT text FROM question WHERE job_id = :id", id=job_id) == []


async def test_replies_to_a_guarded_dataset_are_traced_before_the_transaction(
    engine: AsyncEngine, dataset: str, held: list[ClaimedBatch], admitter: Admitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tests() -> AsyncIterator[bytes]:
        yield b"What is 12 + 5?\n"

    await decontaminate(engine, dataset, "tests", tests())
    first, second, third = [await add_call(engine, held[0].hold, ordinal=n) for n in range(3)]
    assert await admitter.admit(read(held[0].hold, first, "What is 3 + 400?", EGG)) == [EGG]
    monkeypatch.delattr(admission, "trace")  # from here on none is made where others wait
    assert await admitter.admit(read(held[0].hold, second, "What is 7 + 7?", RIVER)) == [RIVER]
    await remove_benchmark(engine, dataset, "tests")
    assert await admitter.admit(read(held[0].hold, third, "What is 7 + 7?")) == ["What is 7 + 7?"]
