"""The drain flag: from SIGTERM on, this process starts no new call.

It is module-level because the signal may come before the event loop exists; a flag made with the loop lost an early
SIGTERM.
"""

import threading
from collections.abc import Callable

_draining = threading.Event()
_listeners: list[Callable[[], object]] = []


def start_draining() -> None:
    """Start no new call in this process; those in flight are finished and written. Safe in a signal handler."""
    _draining.set()
    for listener in tuple(_listeners):
        listener()


def is_draining() -> bool:
    """Whether this process is on its way out."""
    return _draining.is_set()


def when_draining(listener: Callable[[], object]) -> None:
    """Call `listener` once draining begins, at once when it already has; it may be called twice."""
    _listeners.append(listener)
    if _draining.is_set():
        listener()
