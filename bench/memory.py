"""The most memory that a process holds during a block."""

from threading import Event, Thread

from bench.trial import memory_mb

LOOK_SECONDS = 0.05


class PeakMemory:
    """Looks at a process's resident memory until the end of the block."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self.before_mb = self.peak_mb = memory_mb(pid)

    @property
    def growth_mb(self) -> float:
        """The peak over what it was at the start."""
        return self.peak_mb - self.before_mb

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.peak_mb = max(self.peak_mb, memory_mb(self._pid))
