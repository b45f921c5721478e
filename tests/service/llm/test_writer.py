import asyncio
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.errors import BudgetExhausted
from shared.ids import new_call_id
from shared.llm.ledger import NewCall
from shared.llm.stop import Draining, Stop
from shared.llm.writer import LedgerWriter
from tests.service.llm.rows import add_job, budget_of, execute, fetch

LAPSE = "UPDATE batch SET lease_until = clock_timestamp() - interval '1 ms' WHERE id = :batch"
RENEW = "UPDATE batch SET lease_until = clock_timestamp() + interval '1 minute' WHERE id = :batch"


class ObservedStop(Stop):
    """A stop flag that tells when somebody begins to wait under it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.waiting.set()
        await super().sleep(seconds)


def open_later(engine: AsyncEngine, hold: Hold, stop: Stop) -> "asyncio.Task[int]":
    call = NewCall(hold, new_call_id(), ordinal=0, model="openai/gpt-6-luna", prompt={}, worst_usd=Decimal("0.01"))
    opening = LedgerWriter(engine, Random(1)).open(call, stop)
    return asyncio.create_task(opening)


async def test_a_call_waits_for_a_lapsed_lease_to_be_renewed(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    await execute(engine, LAPSE, batch=hold.batch_id)
    stop = ObservedStop()
    opening = open_later(engine, hold, stop)
    await asyncio.wait_for(stop.waiting.wait(), 10)
    await execute(engine, RENEW, batch=hold.batch_id)
    assert await asyncio.wait_for(opening, 10) == 1


async def test_a_call_whose_lease_is_lost_is_not_opened(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    await execute(engine, LAPSE, batch=hold.batch_id)
    stop = ObservedStop()
    opening = open_later(engine, hold, stop)
    await asyncio.wait_for(stop.waiting.wait(), 10)
    stop.set()
    with pytest.raises(Draining):
        await opening


async def test_of_a_group_the_stopped_are_not_opened_and_the_others_are(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    writer, stops = LedgerWriter(engine, Random(1)), [Stop() for _ in range(4)]
    calls = [NewCall(hold, new_call_id(), ordinal, "openai/x", {}, Decimal("0.01")) for ordinal in range(4)]
    opening = [asyncio.create_task(writer.open(call, stop)) for call, stop in zip(calls, stops, strict=True)]
    await asyncio.sleep(0)  # all of them wait for one group now
    stops[1].set()
    stops[3].set()
    outcomes = await asyncio.gather(*opening, return_exceptions=True)
    assert (outcomes[0], outcomes[2]) == (1, 1)
    assert [type(each) for each in (outcomes[1], outcomes[3])] == [Draining, Draining]
    opened = await fetch(engine, "SELECT ordinal FROM call WHERE job_id = :job ORDER BY ordinal", job=hold.job_id)
    assert opened == [(0,), (2,)]


async def test_a_group_that_does_not_fit_the_budget_is_opened_as_far_as_it_goes(engine: AsyncEngine) -> None:
    hold = await add_job(engine)
    await execute(engine, "UPDATE job_budget SET budget_usd = 0.025 WHERE job_id = :job", job=hold.job_id)
    writer = LedgerWriter(engine, Random(1))
    calls = [NewCall(hold, new_call_id(), ordinal, "openai/x", {}, Decimal("0.01")) for ordinal in range(4)]
    outcomes = await asyncio.gather(*(writer.open(call, Stop()) for call in calls), return_exceptions=True)
    assert sorted(map(str, outcomes))[:2] == ["1", "1"]
    assert [type(each) for each in outcomes].count(BudgetExhausted) == 2
    assert await budget_of(engine, hold) == (Decimal(0), Decimal("0.02"))
