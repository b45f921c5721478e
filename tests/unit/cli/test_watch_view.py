from typing import Any

import pytest
from rich.console import Console

from cli.staged_bar import StagedBar
from cli.watch_view import Lost, ProgressView, share_of

STAGES = ("generate", "validate", "answer")


def cell(domain: str, difficulty: str, **counts: Any) -> dict[str, Any]:
    return {
        "domain": domain, "difficulty": difficulty, "target": 90, "selected": 80, "validated": 60, "answered": 9,
        "stopped": None, **counts,
    }  # fmt: skip


def stage(name: str, left: int, to_cost: float) -> dict[str, Any]:
    return {
        "stage": name,
        "forecast": {"cost_usd": 1.5},
        "actual": {"questions": 70, "calls": 4, "cost_usd": 0.25},
        "left": {"questions": left, "cost_usd": to_cost},
    }


def progress(**changed: Any) -> dict[str, Any]:
    cells = changed.pop("cells", [cell("math", "easy"), cell("math", "hard", target=10, selected=10, answered=10)])
    return {
        "id": "0193", "dataset": "seed", "state": "running", "reason": None, "rehearsal": True, "budget_usd": 5.0,
        "cells": cells, "target": sum(each["target"] for each in cells),
        **{name: sum(each[name] for each in cells) for name in ("selected", "validated", "answered")},
        "stages": [stage(name, 10, 0.5) for name in STAGES], "batches": {"done": 4}, "incidents": {},
        "rejected": {"exact": 2, "near": 1200}, "cost_usd": 0.75, "held_usd": 0.01, "per_minute": 120.0,
        "calls": {"sent": 9, "ok": 7, "failed": 1, "retried": 1, "in_flight": 1}, "eta_seconds": 300,
        "token_shares": {"planned": {"easy": 0.6, "hard": 0.4}, "measured": {"easy": 0.612, "hard": 0.388}},
        **changed,
    }  # fmt: skip


def shown(view: ProgressView, width: int = 80, height: int = 30) -> str:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_the_bars_count_what_the_last_stage_has_done() -> None:
    text = shown(ProgressView(progress()))
    for expected in ("19.0%", "19 of 100 answered", "9/90", "10/10", "120 a minute", "about 5 min left", "rehearsal"):
        assert expected in text
    generated = progress(stages=[stage("generate", 10, 0.5)])
    assert "90 of 100 chosen" in shown(ProgressView(generated))


def test_money_is_told_by_stage_against_forecast_and_budget() -> None:
    text = " ".join(shown(ProgressView(progress()), width=120).split())
    for expected in (
        "generate 70 4 $1.50 $0.2500 10 $0.5000",
        "cost: $0.7500 of $5.00 budget (15.0%), $0.0100 held for calls under way or in bulk; the rest about $1.50",
        "tokens: easy 60.0% planned, 61.2% measured; hard 40.0% planned, 38.8% measured",
        "refused: 1,200 near, 2 exact",
    ):
        assert expected in text


def test_warnings_name_what_keeps_a_job_from_its_target() -> None:
    cells = [cell("math", f"level {n}", stopped="no new question in 5 calls") for n in range(5)]
    incidents = {"lease_expired": 2, "fenced_off": 1}
    text = shown(
        ProgressView(progress(cells=cells, batches={"parked": 3}, budget_usd=1.0, incidents=incidents)), height=60
    )
    for expected in (
        "warning: math/level 0 is stopped: no new question in 5 calls",
        "warning: 2 more cells are stopped",
        "warning: 3 batches are parked",
        "warning: 2 times a worker fell silent",
        "warning: 1 times a worker came back too late",
        "warning: the budget will not do: about $1.25 more are needed",
    ):
        assert expected in text


def test_a_lost_connection_says_how_old_the_numbers_are() -> None:
    text = shown(ProgressView(progress(), Lost("No Questmill answers", since=100), clock=lambda: 112), width=120)
    assert "connection lost, the numbers are 12 s old; trying again: No Questmill answers" in text


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (100, 40)])
def test_a_small_screen_shows_what_a_person_must_know(width: int, height: int) -> None:
    rejected = {f"a reason of some length {n}": n for n in range(8)}
    shares = {name: {"easy": 0.4, "hard": 0.6} for name in ("planned", "measured")}
    cells = [cell(name, level, target=2105) for name in ("coding", "math", "sailing") for level in ("easy", "hard")]
    data = progress(
        cells=cells, rejected=rejected, token_shares=shares, budget_usd=1.0, reason="the key is refused", state="paused"
    )
    lost = ProgressView(data, Lost("The connection broke. Try again.", since=100), clock=lambda: 112)
    lines = shown(lost, width, height).splitlines()
    assert len(lines) < height
    for expected in ("sailing", "warning: the budget will not do", "reason: the key is refused", "connection lost"):
        assert any(expected in line for line in lines), expected


def test_no_amount_is_cut_on_a_narrow_screen() -> None:
    stages = [stage(name, 5_671, 0.00064) for name in STAGES]
    cells = [cell("math", "easy", target=12_000, selected=11_500, answered=11_051)]
    lines = shown(ProgressView(progress(cells=cells, stages=stages, per_minute=3124)), width=60).splitlines()
    assert not [line for line in lines if "…" in line]
    [heading] = [line for line in lines if line.startswith("stage")]
    assert "off" not in heading  # nothing is off before the end
    assert lines[1].endswith("left")


@pytest.mark.parametrize("width", [30, 40, 50])
@pytest.mark.parametrize("left", [0, 5_671])
def test_a_very_narrow_screen_shows_fewer_columns_and_each_amount_whole(width: int, left: int) -> None:
    stages = [stage(name, left, 12.3456) for name in STAGES]
    lines = shown(ProgressView(progress(stages=stages)), width=width, height=60).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("stage"))
    table = lines[at : at + 5]
    assert not [line for line in table if "…" in line]
    assert all("$0.2500" in line for line in table[1:4])
    assert "$0.7500" in table[4]


@pytest.mark.parametrize(
    ("state", "hint"), [("paused", "resume 0193"), ("succeeded", "export seed"), ("failed", "export seed")]
)
def test_the_end_says_what_to_do_next(state: str, hint: str) -> None:
    text = shown(ProgressView(progress(state=state, reason="why it is so")))
    assert hint in text
    assert "reason: why it is so" in text
    assert "left" not in text.splitlines()[1]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("difficulties", [1, 2, 5])
@pytest.mark.parametrize("height", [24, 40])
def test_any_number_of_domains_fits_the_screen(width: int, difficulties: int, height: int) -> None:
    levels = ["easy", "hard", "harder", "expert", "research"][:difficulties]
    cells = [cell(f"a domain with a long name {n}", level, target=12345) for n in range(200) for level in levels]
    lines = shown(ProgressView(progress(cells=cells)), width, height).splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert any("more domains:" in line for line in lines)


def test_the_domains_furthest_behind_are_shown_in_the_plans_order() -> None:
    cells = [cell(f"d{n:03}", "easy", answered=90) for n in range(200)]
    for n in (150, 7):
        cells[n]["answered"] = n
        cells[n]["target"] = 200
    text = shown(ProgressView(progress(cells=cells)))
    assert 0 < text.index("d007") < text.index("d150")
    assert "d199" not in text


def test_only_what_is_whole_is_a_hundred_percent() -> None:
    assert [share_of(999_999, 1_000_000), share_of(5, 5), share_of(0, 0), share_of(1, 3)] == [
        "99.9%", "100.0%", "100.0%", "33.3%",
    ]  # fmt: skip


def test_a_job_of_an_older_release_is_shown_too() -> None:
    old = progress()
    for name in ("stages", "batches", "incidents", "token_shares", "held_usd", "budget_usd", "rehearsal", "answered"):
        del old[name]
    assert "90 of 100 chosen" in shown(ProgressView(old))


@pytest.mark.parametrize(
    ("done", "begun", "target", "bar"),
    [
        (5, 5, 10, "━━━━━┄┄┄┄┄"),
        (2, 5, 10, "━━───┄┄┄┄┄"),
        (0, 999, 1000, "─────────┄"),
        (3, 2, 3, "━" * 10),
        (0, 0, 0, "━" * 10),
    ],
)
def test_a_bar_tells_what_is_done_from_what_is_begun(done: int, begun: int, target: int, bar: str) -> None:
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(StagedBar(done, begun, target, width=10))
    assert captured.get().strip() == bar
