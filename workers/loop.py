"""One asyncio loop in one thread per process; it owns the SDK clients, the database engine and the limiter."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from shared.watchdog import Watchdog

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for the pool's threads. Celery runs no asyncio itself: an `async def` task never runs."""

    def __init__(self, *, stall_seconds: float, heartbeat: Path | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._watchdog = Watchdog("worker", self._loop, patience_seconds=stall_seconds, heartbeat=heartbeat)
        self._thread = threading.Thread(target=self._turn, name="questmill-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result; blocks the calling thread, not the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _turn(self) -> None:
        with self._watchdog:
            self._loop.run_forever()
