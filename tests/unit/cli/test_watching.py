"""The live view in a terminal, and what it says of a connection that breaks."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from rich.console import Console

from cli import watching
from cli.client import Event
from cli.connection import Client
from cli.plain_words import ApiProblem
from cli.watch_view import ProgressView
from tests.unit.cli.test_watch_view import progress


class Breaking:
    """A client whose connection breaks ten seconds after its second event, and is back after another five."""

    def __init__(self, clock: "Clock") -> None:
        self.clock = clock

    def events(self, _job: str, *, on_lost: Callable[[ApiProblem], None]) -> Iterator[Event]:
        for _ in range(2):
            self.clock.now += 1
            yield Event("progress", progress())
        self.clock.now += 10
        on_lost(ApiProblem("The connection broke."))
        self.clock.now += 5
        on_lost(ApiProblem("No Questmill answers."))
        yield Event("end", progress(state="succeeded"))


class Clock:
    """Seconds, as a test says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """What a live view was given to show."""

    def __init__(self, **_: object) -> None:
        self.views: list[ProgressView] = []

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, view: ProgressView) -> None:
        self.views.append(view)


def test_the_age_of_the_numbers_is_that_of_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = Clock(), Screen()
    monkeypatch.setattr(watching, "monotonic", clock)
    monkeypatch.setattr(watching, "Live", lambda **_: screen)
    console = Console(force_terminal=True)
    client: Any = Breaking(clock)
    assert watching.watch(cast("Client", client), "0193", console, as_json=False) == 0
    since = [view.lost.since if view.lost else None for view in screen.views]
    assert since == [None, None, 102, 102, None]
