"""FAULTS 1, 3, 5 in a job of three stages: the same promises hold while questions are judged and answered."""

import time
from typing import Any

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import Role, RunningSystem, wait_until

STAGES: dict[str, Any] = {
    "stages": ["generate", "validate", "answer"],
    "models": {
        "generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"},
        "validate": {"easy": "anthropic/claude-haiku-5-5", "hard": "openai/gpt-6-luna"},
        "answer": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"},
    },
    "judging": {"questions_per_call": {"easy": 4, "hard": 4}, "votes": 2},
    "answering": {"questions_per_call": {"easy": 2, "hard": 1}},
}
THROUGH = """
SELECT count(*) FILTER (WHERE validated) AS validated, count(*) FILTER (WHERE answered) AS answered
FROM question WHERE job_id = %(job_id)s
"""


def wait_for_stage(system: RunningSystem, job_id: str, stage: str, count: int) -> None:
    """Until so many questions are through a stage; the job must still run then."""
    wait_until(lambda: getattr(system.query(THROUGH, {"job_id": job_id})[0], stage) >= count, f"{count} {stage}")
    assert system.value("SELECT state FROM job WHERE id = %s", [job_id]) == "running", "too early for a strike"


@pytest.mark.fault(1)
@pytest.mark.long
def test_workers_are_killed_while_they_judge_and_answer(strikes: Strikes) -> None:
    system = strikes.system
    system.rehearse("latency", seconds=0.4)
    job_id = submit(system, "stages", questions=240, **STAGES)
    for stage, count in (("validated", 20), ("answered", 40), ("answered", 120)):
        wait_for_stage(system, job_id, stage, count)
        wait_until(lambda: sum(map(system.is_ready, system.processes(Role.WORKER))) > 1, "two workers")
        time.sleep(strikes.random.uniform(0, 0.5))
        strikes.kill_worker()
    system.rehearse("latency", seconds=0.2)
    wait_for_end(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid
    strikes.tally.effects["wasted calls"] += findings.wasted
    strikes.tally.notes.append(
        f"three stages: {findings.wasted} of {findings.paid} paid calls wasted, {findings.paid_twice} paid twice"
    )
