"""What other workers have published of their keys."""

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.jobs.models import publish_providers
from tests.service.jobs.world import execute


async def others_have(engine: AsyncEngine, *names: str, rehearsal: bool = True) -> None:
    """These providers were published just now, others by workers that have gone since."""
    gone = "seen_at = clock_timestamp() - interval '3 minutes'"
    await execute(engine, f"UPDATE provider SET {gone}")
    async with engine.begin() as conn:
        await publish_providers(conn, list(names), rehearsal=rehearsal)
