"""A bar of two lengths: what a job's last stage has done, and what its first stage has made."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

# Told apart without colours too.
DONE, UNDER_WAY, MISSING = "━", "─", "┄"
STYLES = {
    DONE: Style(color="cyan"),
    UNDER_WAY: Style(color="blue"),
    MISSING: Style(color="bright_black"),
}
WHOLE = Style(color="green")


@dataclass(frozen=True, slots=True)
class StagedBar:
    """`done` of `target` are through the last stage, `begun` of them through the first; `width` columns."""

    done: int
    begun: int
    target: int
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        width = min(self.width, options.max_width)
        done, begun = self._columns(self.done, width), self._columns(max(self.begun, self.done), width)
        style = WHOLE if done == width else STYLES[DONE]
        yield Segment(DONE * done, style)
        yield Segment(UNDER_WAY * (begun - done), STYLES[UNDER_WAY])
        yield Segment(MISSING * (width - begun), STYLES[MISSING])
        yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.width, self.width)

    def _columns(self, count: int, width: int) -> int:
        """Full only when nothing is missing."""
        return width if count >= self.target else count * width // self.target
