"""A bar at a terminal; in a pipe a line now and then, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 15.0


@contextmanager
def following(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to be told how many of `total` are done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda done: bars.update(task, completed=done)


class Line:
    """What a run is doing: a bar on stderr, or a line of text every LINE_SECONDS and at the end of each part."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._terminal = console.is_terminal
        self._task = self._bars.add_task("", total=None, losses="")
        self._told_at = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def tell(self, what: str, done: int, total: int, losses: Mapping[str, float]) -> None:
        """Show how far `what` is, and the losses of the step."""
        said = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        if self._terminal:
            self._bars.update(self._task, description=what, completed=done, total=total, losses=said)
        elif done == total or time.monotonic() - self._told_at > LINE_SECONDS:
            self._told_at = time.monotonic()
            sys.stderr.write(f"{what}: {done:,} of {total:,}{': ' if said else ''}{said}\n")
