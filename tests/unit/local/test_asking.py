"""What asks a person before something is replaced or revoked."""

import os
from collections.abc import Iterator

import pytest

from local.__main__ import _asking
from local.process import LocalProblem

CTRL_D = b"\x04"


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where somebody at the terminal types."""
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield ours
    os.close(ours)


@pytest.mark.parametrize(("typed", "agreed"), [(b"y\n", True), (b"YES\n", True), (b"\n", False), (CTRL_D, False)])
def test_only_yes_is_a_yes(keyboard: int, typed: bytes, agreed: bool) -> None:
    os.write(keyboard, typed)
    assert _asking(yes=False)("This replaces it.") is agreed


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _asking(yes=True)("This replaces it.")
    with open(os.devnull) as nobody:  # noqa: PTH123
        monkeypatch.setattr("sys.stdin", nobody)
        with pytest.raises(LocalProblem, match="Nobody is there to answer"):
            _asking(yes=False)("This replaces it.")
