"""What costs too much is found on a fast machine and on a slow one; who is slow with all is not blamed for it."""

import time

import pytest

from tests import processor
from tests.processor import takes_at_most

BOUND_SECONDS = 0.02


def work(times: float) -> None:
    """Some work that costs so many times the bound."""
    end = time.process_time() + times * BOUND_SECONDS
    while time.process_time() < end:
        pass


@pytest.mark.parametrize(
    ("slowness", "times", "is_too_much"), [(0.5, 2, True), (1, 2, True), (5, 2, False), (5, 8, True)]
)
def test_a_bound_is_as_far_off_as_the_machine_is_slow(
    slowness: float, times: float, monkeypatch: pytest.MonkeyPatch, *, is_too_much: bool
) -> None:
    monkeypatch.setattr(processor, "_turn", lambda: slowness * processor.TURN_SECONDS)
    if is_too_much:
        with pytest.raises(AssertionError, match="are the most"), takes_at_most(BOUND_SECONDS):
            work(times)
    else:
        with takes_at_most(BOUND_SECONDS):
            work(times)
