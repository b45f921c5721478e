"""What a person on call asks costs the same whatever has been done."""

from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import new_call_id
from shared.jobs.system_health import STANDSTILL, read_system_health
from shared.llm.ledger import NewCall, open_call
from tests.service.factories import make_hold
from tests.service.jobs.world import execute


async def test_the_newest_call_of_a_job_counts_and_no_other_jobs_is_walked_over(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        holds = [await make_hold(conn, f"busy-{each}") for each in range(3)]
        for hold in holds:
            for ordinal in range(2):
                new = NewCall(hold, call_id=new_call_id(), ordinal=ordinal, model="openai/m", prompt={},
                              worst_usd=Decimal("0.01"))  # fmt: skip
                await open_call(conn, new)
    await execute(engine, "UPDATE job SET created_at = now() - interval '3 hours'")
    for hours, hold in enumerate(holds):
        first, later = "now() - interval '5 hours'", f"now() - interval '{hours} hours'"
        await execute(
            engine,
            f"UPDATE call SET sent_at = CASE ordinal WHEN 0 THEN {first} ELSE {later} END WHERE job_id = :id",
            id=hold.job_id,
        )
    async with engine.connect() as conn:
        still = (await read_system_health(conn)).standstill_seconds
        plan = "\n".join((await conn.execute(text(f"EXPLAIN {STANDSTILL}"))).scalars())
    assert 7200 <= still["longest"] < 7300
    assert 0 <= still["shortest"] < 100
    assert "ix_call_job_id_id" in plan
    assert "pk_call" not in plan

    # One that has sent none is not taken for the job before it in the index.
    await execute(engine, "DELETE FROM call WHERE job_id = :id", id=holds[2].job_id)
    async with engine.connect() as conn:
        assert 10800 <= (await read_system_health(conn)).standstill_seconds["longest"] < 10900
