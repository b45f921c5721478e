"""What a job may spend, has spent and holds for calls that are under way."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFound
from shared.ids import JobId


@dataclass(frozen=True, slots=True)
class Budget:
    """US dollars. `held` is the worst case of the calls that are not settled yet."""

    budget_usd: Decimal
    spent_usd: Decimal
    held_usd: Decimal


READ_BUDGET = text("SELECT budget_usd, spent_usd, held_usd FROM job_budget WHERE job_id = :job_id")


async def read_budget(conn: AsyncConnection, job_id: JobId) -> Budget:
    """The job's budget now. Raises NotFound when it has none."""
    row = (await conn.execute(READ_BUDGET, {"job_id": job_id})).one_or_none()
    if row is None:
        raise NotFound(f"job {job_id} has no budget")
    return Budget(row.budget_usd, row.spent_usd, row.held_usd)
