"""Waiting for processes that are not our children."""

import os
import select
from collections.abc import Iterable


def wait_until_gone(pids: Iterable[int], seconds: float) -> list[int]:
    """The pids that are still alive after that time."""
    return [pid for pid in pids if not _is_gone(pid, seconds)]


def _is_gone(pid: int, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)
