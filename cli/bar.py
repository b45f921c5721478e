"""A bar on stderr for long work of this process, where somebody sees it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# A bar that is told of each row costs more than the row.
ROWS_PER_STEP = 200


@contextmanager
def showing_progress(phases: Mapping[str, str]) -> Iterator[Callable[[str, int, int], None]]:
    """Yields what is told how far each phase is: its name, done, total (0: not known). `phases` are names and words."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {phase: bars.add_task(words, total=None, visible=False) for phase, words in phases.items()}

        def show(phase: str, done: int, total: int) -> None:
            if done % ROWS_PER_STEP == 0 or done >= total - 1:
                bars.update(tasks[phase], completed=done, total=total or None, visible=True)

        yield show
