import asyncio
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.ids import new_call_id
from shared.llm.ledger import NewCall
from shared.llm.stop import Draining, Stop
from shared.llm.writer import LedgerWriter
from tests.service.llm.rows import add_job, execute

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
