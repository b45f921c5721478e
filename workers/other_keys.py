"""Whether another worker has the key for a provider, by what workers publish every minute."""

import math
import time
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.jobs.models import TOLD_SECONDS, is_called_by_some


@dataclass
class OtherKeys:
    """What this process may conclude from the silence of others.

    `told_since` is when it first could publish without a break, in seconds of time.monotonic(): before TOLD_SECONDS are
    over, others may only be starting, or their database have been away as well.
    """

    told_since: float = math.inf

    def note_told(self, *, at_once: bool) -> None:
        """This process has published what it has; `at_once`: the database was there for it."""
        if not at_once or math.isinf(self.told_since):
            self.told_since = time.monotonic()

    async def may_be_there(self, conn: AsyncConnection, provider: str | None, *, rehearsal: bool) -> bool:
        """Whether some worker can call the provider, or any where it is None, as far as can be told by now."""
        if time.monotonic() - self.told_since < TOLD_SECONDS:
            return True
        return await is_called_by_some(conn, provider, rehearsal=rehearsal)
