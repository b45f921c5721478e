from typing import Any

import pytest
from rich.console import Console, RenderableType

from cli.client import Event
from cli.judges import verdicts_view
from cli.sampling import sample_view
from cli.tables import format_seconds, import_view, jobs_view, plan_view, submissions_view
from cli.watching import exit_code, progress_line
from shared.ids import new_job_id
from shared.money import format_usd

CELLS = [
    {"domain": "math", "difficulty": "easy", "target": 90, "have": 10, "selected": 10, "generate": 80, "surplus": 0},
    {"domain": "math", "difficulty": "hard", "target": 10, "have": 0, "selected": 0, "generate": 10, "surplus": 0},
]
PLANNED = {
    "cells": CELLS,
    "totals": {
        "questions": 1100,
        "by_difficulty": {"easy": 90, "hard": 10},
        "tokens_by_difficulty": {"easy": 1350, "hard": 900},
        "token_shares": {"easy": 0.6, "hard": 0.4},
        "generate": 90,
    },
    "forecast": {"calls": 9, "input_tokens": 4500, "output_tokens": 3000, "cost_usd": 0.0123, "seconds": 75.0},
    "warnings": ["math/easy: existing questions have 31 tokens on average, the mix says 15"],
    "spec": {
        "mix": {"difficulties": {"easy": {"token_share": 0.6}, "hard": {"token_share": 0.4}}},
        "models": {"generate": {"easy": "openai/small", "hard": "anthropic/large"}},
    },
    "rehearsal": True,
}
PROGRESS: dict[str, Any] = {
    "id": "0193", "dataset": "d", "state": "running", "reason": None, "target": 100, "selected": 40, "admitted": 35,
    "rejected": {"exact": 2, "near": 1}, "cells": [{**cell, "stopped": None} for cell in CELLS],
    "calls": {"sent": 9, "ok": 7, "failed": 1, "retried": 1, "in_flight": 1},
    "cost_usd": 0.02, "per_minute": 120.0, "eta_seconds": 30,
}  # fmt: skip


def shown(view: RenderableType, *, width: int = 160) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_a_plan_shows_cells_shares_forecast_and_warnings() -> None:
    text = shown(plan_view(PLANNED))
    for expected in ("rehearsal", "math", "80", "60.000% (asked 60.000%)", "$0.0123", "75 s", "openai/small"):
        assert expected in text
    assert "warning: math/easy" in text


def test_a_plan_names_every_model_the_budget_and_what_goes_in_bulk() -> None:
    spec: dict[str, Any] = {
        "mix": {}, "budget_usd": "0.5", "mode": {"answer": "bulk"},
        "models": {"generate": {"easy": "openai/a"}, "answer": {"easy": ["openai/a", "openai/b"], "hard": "openai/b"}},
    }  # fmt: skip
    text = shown(plan_view({**PLANNED, "spec": spec}))
    assert "75 s" in text
    stage = {"stage": "answer", "questions": 1, "calls": 1, "input_tokens": 1, "output_tokens": 1, "cost_usd": 0.1}
    forecast: dict[str, Any] = {"calls": 1, "input_tokens": 1, "output_tokens": 1, "cost_usd": 0.1, "seconds": 75.0}
    text = shown(plan_view({**PLANNED, "forecast": {**forecast, "stages": [stage]}, "spec": spec}))
    assert "budget: $0.5000" in text
    assert "generate: easy by openai/a\n" in text.replace(" \n", "\n")
    assert "answer: easy by openai/a and openai/b, hard by openai/b; in bulk, at half price" in text
    assert "hours or days" in text


def test_an_event_is_one_parseable_line() -> None:
    pairs = dict(pair.split("=", 1) for pair in progress_line(Event("progress", PROGRESS)).split(" "))
    assert pairs["selected"] == "40"
    assert pairs["rejected"] == "3"
    assert pairs["state"] == "running"


def test_small_amounts_are_plain_numbers_in_a_line() -> None:
    assert "cost_usd=0.0000917 " in progress_line(Event("progress", {**PROGRESS, "cost_usd": 9.17e-05}))


def test_no_verdicts_are_no_empty_table() -> None:
    assert shown(verdicts_view({"votes": 3, "verdicts": 0})).strip() == "No verdicts yet."


def test_a_sample_cannot_steer_the_terminal() -> None:
    item: dict[str, Any] = {
        "id": 7, "domain": "math", "difficulty": "easy", "state": "reserve", "reason": None, "verdicts": [],
        "question": "Red \x1b[31m\x9b1m?\n\tTurned \u202e round, in עברית", "verdict": None, "answer": None,
        "cost_usd": {"total": None}, "call_id": None, "rehearsal": False,
    }  # fmt: skip
    text = shown(sample_view({"dataset": "d", "seed": 1, "among": 1, "items": [item]}))
    assert r"Red \x1b[31m\x9b1m?" in text
    assert r"Turned \u202e round, in עברית" in text
    assert "1 of 1 question of d" in text
    answered = {"answer": "Y.", "answer_model": "openai/x", "completion_tokens": 1, "checked": None, "answer_count": 4}
    text = shown(sample_view({"dataset": "d", "seed": 1, "among": 2, "items": [{**item, **answered}]}))
    assert "answer by openai/x, 1 token; the first of 4:" in text
    assert max(len(line.rstrip("─")) for line in text.splitlines()) < 80


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("paused", 3)])
def test_the_exit_code_tells_how_the_job_ended(state: str, code: int) -> None:
    assert exit_code(state) == code


def test_an_import_lists_its_problems() -> None:
    report = {"read": 3, "imported": 1, "duplicates": 1, "invalid": 2, "near_duplicates": 0}
    text = shown(import_view({**report, "problems": [{"line": 2, "error": "no question"}]}))
    assert "line 2: no question" in text
    assert "and 1 more" in text


def test_no_jobs_say_how_to_start_one() -> None:
    assert "questmill submit" in shown(jobs_view([]))


def test_a_job_is_a_line_and_its_reason_below_it() -> None:
    job = {"id": "0193", "dataset": "mine", "state": "paused", "created_at": "2026-11-26T10:00Z", "reason": 99 * "a "}
    lines = shown(jobs_view([job, {**job, "dataset": "others", "rehearsal": True, "reason": None}])).splitlines()
    assert [each.rstrip() for each in (*lines[:2], lines[-1])] == [
        "job   created           state   dataset",
        "0193  2026-11-26 10:00  paused  mine",
        "0193  2026-11-26 10:00  paused  others (rehearsal)",
    ]
    assert all(line.startswith("    a ") for line in lines[2:-1])


def test_a_long_name_of_a_dataset_folds_and_hides_nothing_of_its_job_nor_of_others() -> None:
    job = {"id": str(new_job_id()), "state": "succeeded", "created_at": "2026-11-26T10:00Z", "rehearsal": True}
    names = (("0123456789" * 7)[:64], "short")
    text = shown(jobs_view([{**job, "dataset": name} for name in names]), width=80)
    rows = [line for line in text.splitlines() if line.startswith(f"{job['id']}  2026-11-26 10:00  succeeded  ")]
    assert len(rows) == len(names)
    folded = "".join(line[67:].strip() for line in text.splitlines()[1:])
    assert folded == "".join(f"{name}(rehearsal)" for name in names)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (720, "12 min"), (11_100, "3 h 05 min"), (5399.9, "1 h 30 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        (0.0123, "$0.0123"),
        ("1234.5", "$1,234.50"),
        ("0.0000234", "$0.000023"),
        ("0.00004", "$0.000040"),
    ],
)
def test_amounts_keep_the_digits_that_matter(amount: object, text: str) -> None:
    assert format_usd(amount) == text


def test_submissions_say_how_far_they_are_and_whether_they_are_being_cancelled() -> None:
    assert "mode: bulk" in shown(submissions_view([]))
    row = {
        "provider_id": "batch_12", "model": "openai/gpt-6-luna", "requests": 1500, "state": "submitted",
        "submitted_at": "2026-11-26T10:00:00.1Z", "ended_at": None, "cancel_asked_at": None, "detail": "validating",
    }  # fmt: skip
    text = shown(submissions_view([row]))
    for part in ("batch_12", "openai/gpt-6-luna", "1,500", "submitted", "2026-11-26 10:00:00", "validating"):
        assert part in text
    assert "submitted, cancel asked" in shown(submissions_view([{**row, "cancel_asked_at": "2026-11-26T10:00:00Z"}]))
