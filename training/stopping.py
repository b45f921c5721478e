"""Ctrl-C: the first ends a run after the step it is in, a second at once."""

import signal
from types import FrameType, TracebackType
from typing import Self


class Stopping:
    """Within the block, `asked` says whether to stop. SIGTERM is heard like Ctrl-C."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._hear) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
