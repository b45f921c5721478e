"""Keeps every lease of this process alive, also while its batch waits for the limiter or an answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.database.trouble import first_line
from shared.ids import BatchId
from shared.jobs.claim import renew
from shared.llm.stop import Stop

log = structlog.get_logger()

RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold that is being renewed, and the flag that is set when it is lost: then no new call starts."""

    hold: Hold
    stop: Stop


class LeaseKeeper:
    """Renews all held leases in one statement, each third of a lease's time."""

    def __init__(self, engine: AsyncEngine, lease_seconds: float) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._leases: dict[BatchId, Lease] = {}

    @contextmanager
    def keep(self, hold: Hold, stop: Stop) -> Iterator[None]:
        """Renew this hold as long as the block lasts; `stop` is set when it is lost."""
        lease = Lease(hold, stop)
        self._leases[hold.batch_id] = lease
        try:
            yield
        finally:
            if self._leases.get(hold.batch_id) is lease:
                del self._leases[hold.batch_id]

    async def run(self) -> None:
        """Renew until cancelled; after a failure soon again, to be there before others may claim what is held here."""
        pause = self._lease_seconds / 3
        while True:
            await asyncio.sleep(pause)
            try:
                await self.renew_once()
                pause = self._lease_seconds / 3
            except Exception as error:  # noqa: BLE001 - the next round tries again; expiry is the database's business
                log.warning("leases not renewed", error=first_line(error))
                pause = min(self._lease_seconds / 3, RETRY_SECONDS)

    async def renew_once(self) -> None:
        """One round: whatever the database no longer counts as ours is marked lost."""
        leases = list(self._leases.values())
        if not leases:
            return
        async with self._engine.begin() as conn:
            held = await renew(conn, [lease.hold for lease in leases], lease_seconds=self._lease_seconds)
        for lease in leases:
            if lease.hold.batch_id not in held:
                lease.stop.set()
                # Not a newer hold of this very process, which may have claimed the batch again meanwhile.
                if self._leases.get(lease.hold.batch_id) is lease:
                    del self._leases[lease.hold.batch_id]
                names = {"job": str(lease.hold.job_id), "batch_id": str(lease.hold.batch_id)}
                log.warning("lease lost", **names, fence=lease.hold.fence)
