"""Writes to the ledger through a Postgres that may be away for a while, what many calls ask for together."""

from collections.abc import Sequence
from random import Random

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.grouped import Grouped
from shared.database.reconnect import until_reachable
from shared.errors import LeaseLapsed, QuestmillError
from shared.ids import CallId, JobId
from shared.llm.ledger import NewCall, Settlement, open_call, open_calls, settle_calls
from shared.llm.stop import Draining, Stop

RENEWAL_LOOK_SECONDS = 0.2
# So long the calls of a job wait for each other at most: little beside an answer, and at 400 calls a second a third of
# the statements.
PACE_SECONDS = 0.01
MOST_CALLS = 64


class LedgerWriter:
    """Opens and settles calls, each group in one short transaction; repeats a write until it is known to be done."""

    def __init__(self, engine: AsyncEngine, rng: Random) -> None:
        # Each ledger write is one statement: in autocommit it needs one round trip instead of three.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._rng = rng
        self._opening = Grouped(self._open_together, pace_seconds=PACE_SECONDS, most=MOST_CALLS)
        self._settling = Grouped(self._settle_together, pace_seconds=PACE_SECONDS, most=MOST_CALLS)

    async def open(self, call: NewCall, stop: Stop) -> int:
        """`open_call`, repeated while Postgres is away or the lease has lapsed; raises Draining once `stop` is set."""
        while True:
            try:
                return await until_reachable(
                    lambda: self._opening(call.hold.job_id, (call, stop)), what="open call", sleep=stop.sleep
                )
            except IntegrityError:
                # Another holder numbered the same attempt, or our own cut-off try got through: look again.
                await stop.sleep(self._rng.uniform(0, 0.05))
            except LeaseLapsed:
                # FAULTS 2: the database was away for longer than a lease, which is renewed soon or lost: `stop` is set.
                await stop.sleep(RENEWAL_LOOK_SECONDS)

    async def settle(self, job_id: JobId, settlement: Settlement) -> None:
        """`settle_calls`, repeated until it succeeds: the reply in hand is paid for. FAULTS 2, 18."""
        await until_reachable(lambda: self._settling(job_id, settlement), what="settle call")

    async def _open_together(self, job_id: JobId, asked: Sequence[tuple[NewCall, Stop]]) -> list[int | Exception]:
        opened: dict[CallId, int] = {}
        async with self._engine.connect() as conn:
            if len(asked) > 1:
                opened = await open_calls(conn, job_id, [call for call, stop in asked if not stop.is_set])
            return [opened.get(call.call_id) or await _open_alone(conn, call, stop) for call, stop in asked]

    async def _settle_together(self, _: JobId, settlements: Sequence[Settlement]) -> list[Exception | None]:
        async with self._engine.connect() as conn:
            await settle_calls(conn, settlements)
        return [None] * len(settlements)


async def _open_alone(conn: AsyncConnection, call: NewCall, stop: Stop) -> int | Exception:
    if stop.is_set:
        return Draining()  # it was set while the call waited for its group
    try:
        return await open_call(conn, call)
    except QuestmillError as error:
        return error
