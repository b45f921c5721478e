import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from cli.progress_bar import TextBar, open_bar


def progress(done: int, state: str = "running") -> dict[str, Any]:
    return {
        "dataset": "seed", "state": state, "target": 100, "selected": 50, "answered": done, "cost_usd": 0.5,
        "stages": [{"stage": "generate"}, {"stage": "answer"}], "eta_seconds": 30,
    }  # fmt: skip


class Tqdm:
    """What we use of tqdm."""

    made: ClassVar[list[Any]] = []

    def __init__(self, *, total: int, desc: str, initial: int, **_: Any) -> None:
        self.total, self.desc, self.n, self.aside, self.closed = total, desc, initial, "", False
        Tqdm.made.append(self)

    def update(self, by: int) -> None:
        self.n += by

    def set_postfix_str(self, aside: str, **_: Any) -> None:
        self.aside = aside

    def close(self) -> None:
        self.closed = True


def test_tqdm_is_used_where_it_is_installed_and_goes_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Tqdm))
    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace())
    bar = open_bar()
    for done in (10, 40, 39):
        bar.show(progress(done))
    bar.close()
    (shown,) = Tqdm.made
    assert (shown.n, shown.total, shown.desc, shown.closed) == (39, 100, "seed", True)
    assert shown.aside == "running, $0.5000, about 30 s left"


def test_text_is_told_now_and_then_and_when_the_state_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert isinstance(open_bar(), TextBar)
    seconds = iter([0, 1, 11, 12])
    bar = TextBar(clock=lambda: next(seconds))
    for done, state in ((10, "running"), (11, "running"), (30, "running"), (100, "succeeded")):
        bar.show(progress(done, state))
    assert capsys.readouterr().err.splitlines() == [
        "seed running: 10.0%, 10 of 100, $0.5000, about 30 s left",
        "seed running: 30.0%, 30 of 100, $0.5000, about 30 s left",
        "seed succeeded: 100.0%, 100 of 100, $0.5000",
    ]
