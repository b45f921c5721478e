"""Jobs for the fault tests: small ones of many calls, so that there is a long middle of a run to strike in."""

import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any
from uuid import uuid4

from cli.client import ApiProblem
from tests.faults.patience import Patience
from tests.faults.system import RunningSystem, wait_until

_numbers = count(1)
PROGRESS = """
SELECT job.state, job.reason, job.finished_at,
    (SELECT count(*) FROM question WHERE question.job_id = job.id) AS admitted,
    (SELECT count(*) FROM call WHERE call.job_id = job.id) AS calls
FROM job WHERE id = %(job_id)s
"""
# Nothing of a job moves for so long: longer than a lease, a tick, two repeats of a hint and the start of all workers on
# a busy machine.
QUIET_SECONDS = 45.0


class Stuck(AssertionError):
    """A job neither ends nor gets on."""


def make_spec(name: str, *, questions: int = 360, **changes: object) -> dict[str, Any]:
    """A spec of four cells and about `questions` / 3 calls, on both providers, for a dataset of its own."""
    return {
        "dataset": f"{name}-{next(_numbers)}",
        "mix": {
            "domains": {"coding": questions // 2, "math": questions // 2},
            "difficulties": {
                "easy": {"token_share": 0.4, "mean_tokens": 15},
                "hard": {"token_share": 0.6, "mean_tokens": 120},
            },
        },
        "models": {"generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"}},
        "questions_per_call": {"easy": 4, "hard": 2},
        "budget_usd": "50",
        "seed": 2025,
        **changes,
    }


def submit(system: RunningSystem, name: str, **changes: Any) -> str:
    """Start a job; returns its id."""
    return str(system.client.submit(make_spec(name, **changes))["id"])


def submit_patiently(system: RunningSystem, name: str, **changes: Any) -> str:
    """Start a job although the API or Postgres may be away: the same key until there is an answer."""
    spec, key = make_spec(name, **changes), str(uuid4())

    def ask() -> str | None:
        try:
            return str(system.client.submit(spec, idempotency_key=key)["id"])
        except ApiProblem as problem:
            if problem.status is not None and problem.status < 500:
                raise
            return None

    return wait_until(ask, "the API to take a job")


def progress_of(system: RunningSystem, job_id: str) -> Any:
    """The job's state and counts, straight from the rows."""
    [row] = system.query(PROGRESS, {"job_id": job_id})
    return row


def wait_for_admitted(system: RunningSystem, job_id: str, admitted: int) -> None:
    """Until so many questions are admitted; the job must still run then."""
    _wait(system, job_id, lambda row: row.admitted >= admitted or row.state not in {"running", "paused"})
    row = progress_of(system, job_id)
    assert row.state == "running", f"{row.state} at {row.admitted} admitted: too early for a strike"


def wait_for_state(system: RunningSystem, job_id: str, *states: str, quiet_seconds: float = QUIET_SECONDS) -> Any:
    """Until the job is in one of the states; raises Stuck when nothing of it has moved for `quiet_seconds`."""
    return _wait(system, job_id, lambda row: row.state in states, quiet_seconds)


def wait_for_end(system: RunningSystem, job_id: str, *, quiet_seconds: float = QUIET_SECONDS) -> Any:
    """Until the job has ended."""
    return wait_for_state(system, job_id, "succeeded", "failed", "cancelled", quiet_seconds=quiet_seconds)


def _wait(
    system: RunningSystem, job_id: str, is_there: Callable[[Any], bool], quiet_seconds: float = QUIET_SECONDS
) -> Any:
    before: Mapping[str, object] | None = None
    patience = Patience(quiet_seconds)
    while True:
        row = progress_of(system, job_id)
        if is_there(row):
            return row
        if row != before:
            before, patience = row, Patience(quiet_seconds)
        if patience.is_over():
            raise Stuck(f"nothing has moved for {quiet_seconds:g} s: {row}")
        time.sleep(0.1)
