"""A bar for people who watch from Python: tqdm's, in Jupyter too, where it is installed; lines of text elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol

from cli.tables import format_seconds
from cli.watch_view import COUNTED, share_of
from shared.money import format_usd

# Lines of text are told this often, and whenever the state changes.
LINE_SECONDS = 10.0


class Bar(Protocol):
    """Shows a job's progress, event by event."""

    def show(self, progress: Mapping[str, Any]) -> None:
        """The newest event's data."""

    def close(self) -> None:
        """No more events come."""


class TextBar:
    """A line on stderr now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at = -LINE_SECONDS
        self._state = ""

    def show(self, progress: Mapping[str, Any]) -> None:
        """Tell how far the job is, if the last line is some seconds old."""
        now = self._clock()
        if progress["state"] == self._state and now - self._told_at < LINE_SECONDS:
            return
        self._told_at, self._state = now, progress["state"]
        done, target = counts_of(progress)
        told = f"{share_of(done, target)}, {done:,} of {target:,}{_aside(progress)}"
        sys.stderr.write(f"{progress['dataset']} {progress['state']}: {told}\n")

    def close(self) -> None:
        """Nothing to tidy up."""


class TqdmBar:
    """tqdm's bar: a widget in Jupyter."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._bar: Any = None

    def show(self, progress: Mapping[str, Any]) -> None:
        """Move the bar."""
        done, target = counts_of(progress)
        if self._bar is None:
            self._bar = self._make(total=target, desc=progress["dataset"], unit="question", initial=done)
        self._bar.total = target  # a plan may be made again
        self._bar.set_postfix_str(f"{progress['state']}{_aside(progress)}", refresh=False)
        # Questions may be taken out again: the bar goes back then.
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def open_bar() -> Bar:
    """The best bar that is installed."""
    try:
        return TqdmBar(import_module("tqdm.auto").tqdm)
    except ImportError:
        return TextBar()


def counts_of(progress: Mapping[str, Any]) -> tuple[int, int]:
    """Questions that the job's last stage has done, and its target."""
    stages = progress.get("stages") or [{"stage": "generate"}]
    return progress[COUNTED[stages[-1]["stage"]]], progress["target"]


def _aside(progress: Mapping[str, Any]) -> str:
    eta = progress["eta_seconds"]
    left = f", about {format_seconds(eta)} left" if eta and progress["state"] == "running" else ""
    return f", {format_usd(round(progress['cost_usd'], 4))}{left}"
