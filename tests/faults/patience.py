"""How long to wait for a system on a machine that others use as well."""

import time
from pathlib import Path

# A machine without time to spare is waited for up to four times as long.
LEAST_SHARE = 0.25
# Shorter spans than this the kernel's ticks cannot tell.
LOOK_SECONDS = 0.2


class Patience:
    """So many seconds, each of which counts by the share of it in which some core had nothing to do.

    Whoever is stuck leaves the machine idle and is found out in time; whoever is slow because all cores are busy, with
    another test or with somebody else's work, is not taken for stuck. For waits only: what a promise says of time is
    measured by the clock.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._looked = time.monotonic()
        self._ticks = _read_ticks()

    def is_over(self) -> bool:
        """Whether all of it is used up."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            ticks = _read_ticks()
            idle, total = ticks[0] - self._ticks[0], ticks[1] - self._ticks[1]
            share = idle / total if total > 0 else 1.0
            self._left -= (now - self._looked) * min(1.0, max(LEAST_SHARE, share))
            self._looked, self._ticks = now, ticks
        return self._left <= 0


def _read_ticks() -> tuple[int, int]:
    """Of all cores, since the machine started: idle ones, and all."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)
