"""What a process and its children have used, read from /proc."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far and the largest resident size of one process, in bytes."""

    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_seconds + other.cpu_seconds, max(self.peak_bytes, other.peak_bytes))

    def __sub__(self, earlier: "Usage") -> "Usage":
        """The CPU seconds since then; the peak stays the peak."""
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.peak_bytes)


def usage_of(pid: int) -> Usage:
    """The usage of a process, of its ended children and of its living ones; nothing when it is gone."""
    total = Usage()
    with contextlib.suppress(OSError):
        total = _own_usage(pid)
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += usage_of(int(child))
    return total


def _own_usage(pid: int) -> Usage:
    # The name in parentheses may hold spaces; user, system and both of ended children are fields 14 to 17.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))
    peak = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            peak = int(line.split()[1]) * 1024
    return Usage(ticks / TICKS_PER_SECOND, peak)
