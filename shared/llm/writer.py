"""Writes to the ledger through a Postgres that may be away for a while."""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from random import Random
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.fence import Hold
from shared.database.reconnect import until_reachable
from shared.errors import LeaseLapsed
from shared.ids import CallId
from shared.llm.ledger import open_call, settle_call
from shared.llm.provider import LLMReply
from shared.llm.stop import Stop

Result = TypeVar("Result")
RENEWAL_LOOK_SECONDS = 0.2


class LedgerWriter:
    """Opens and settles calls, each in its own short transaction; repeats a write until it is known to be done."""

    def __init__(self, engine: AsyncEngine, rng: Random) -> None:
        # Each ledger write is one statement: in autocommit it needs one round trip instead of three.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._rng = rng

    async def open(
        self,
        hold: Hold,
        *,
        call_id: CallId,
        ordinal: int,
        model: str,
        prompt: Mapping[str, object],
        worst_usd: Decimal,
        stop: Stop,
    ) -> int:
        """`open_call`, repeated while Postgres is away or the lease has lapsed; raises Draining once `stop` is set."""

        async def write(conn: AsyncConnection) -> int:
            return await open_call(
                conn, hold, call_id=call_id, ordinal=ordinal, model=model, prompt=prompt, worst_usd=worst_usd
            )

        while True:
            try:
                return await until_reachable(lambda: self._once(write), what="open call", sleep=stop.sleep)
            except IntegrityError:
                # Another holder numbered the same attempt, or our own cut-off try got through: look again.
                await stop.sleep(self._rng.uniform(0, 0.05))
            except LeaseLapsed:
                # FAULTS 2: the database was away for longer than a lease, which is renewed soon or lost: `stop` is set.
                await stop.sleep(RENEWAL_LOOK_SECONDS)

    async def settle(self, call_id: CallId, reply: LLMReply, cost_usd: Decimal) -> bool:
        """`settle_call`, repeated until it succeeds: the reply in hand is paid for. FAULTS 2, 18."""

        async def write(conn: AsyncConnection) -> bool:
            return await settle_call(conn, call_id, reply, cost_usd)

        return await until_reachable(lambda: self._once(write), what="settle call")

    async def _once(self, write: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        async with self._engine.connect() as conn:
            return await write(conn)
