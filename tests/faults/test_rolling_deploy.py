"""FAULTS 9: every worker is told to end, again and again over one run; and everything at once, by Ctrl-C."""

import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import progress_of, submit, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import Role, find_processes, running_system, wait_until
from tests.faults.tally import Tally

# One more than a batch may be claimed in vain.
DEPLOYS = 6
WORKERS = 2
# A worker ends when its calls have; the model takes half a second on average.
DRAIN_SECONDS = 8.0
TRACES = """
SELECT count(*) FILTER (WHERE state = 'parked') AS parked, max(attempts) AS attempts,
    (SELECT count(*) FROM incident WHERE incident.job_id = %(job_id)s) AS incidents
FROM batch WHERE job_id = %(job_id)s
"""


def deploy_again_and_again(strikes: Strikes, *, deploys: int = DEPLOYS) -> None:
    """The scenario: SIGTERM to all workers at once, as soon as they are back at work."""
    system = strikes.system
    job_id = submit(system, "deployed", questions=100 * deploys, questions_per_call={"easy": 2, "hard": 1})
    said = len(system.log)
    slowest = 0.0
    for _ in range(deploys):
        workers = set(system.wait_for_processes(Role.WORKER, WORKERS))
        # A process that has only just begun knows no signals yet.
        wait_until(lambda: all(map(system.is_ready, workers)), "the workers to be back")  # noqa: B023 - called at once
        strikes.pick_busy_worker()
        time.sleep(strikes.random.uniform(0, 0.3))
        for pid in workers:
            strikes.terminate_worker(pid)
        began = time.monotonic()
        wait_until(lambda: workers.isdisjoint(system.processes(Role.WORKER)), "the workers' end", seconds=DRAIN_SECONDS)  # noqa: B023 - called at once
        slowest = max(slowest, time.monotonic() - began)
    assert progress_of(system, job_id).state == "running", "too early for the last deploy"
    wait_for_end(system, job_id)
    for number in range(1, WORKERS + 1):
        ends = [line for line in system.log[said:].splitlines() if line.startswith(f"worker {number} ended")]
        assert len(ends) == deploys
        assert [line for line in ends if not line.startswith(f"worker {number} ended with 0")] == []
    [traces] = system.query(TRACES, {"job_id": job_id})
    assert (traces.parked, traces.incidents) == (0, 0)
    assert traces.attempts <= 1
    strikes.tally.notes.append(f"workers told to end were gone after {slowest:.1f} s at most")
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    strikes.tally.effects["paid calls"] += findings.paid


@pytest.mark.long
@pytest.mark.fault(9)
def test_six_deploys_in_one_run_lose_no_paid_reply(strikes: Strikes) -> None:
    deploy_again_and_again(strikes)


@pytest.mark.long
@pytest.mark.fault(9)
def test_a_job_goes_on_after_ctrl_c_in_mid_run(tmp_path: Path, tally: Tally) -> None:
    random = Random(f"{tally.seed}/Ctrl-C")
    home = tmp_path / "home"
    settings = {"QUESTMILL_CALLS_IN_FLIGHT": "6", "QUESTMILL_REHEARSAL_LATENCY": "0.5"}
    with running_system(home, settings=settings) as system:
        job_id = submit(system, "interrupted")
        wait_for_admitted(system, job_id, random.randrange(40, 160))
        time.sleep(random.uniform(0, 0.5))
    tally.injected[9] += 1
    tally.effects["Ctrl-C in mid-run"] += 1
    assert system.supervisor.returncode == 0
    assert find_processes(home) == []
    # A new start begins a new record.
    served = system.record.read_bytes()
    with running_system(home, settings=settings) as system:
        wait_for_end(system, job_id)
        [traces] = system.query(TRACES, {"job_id": job_id})
        assert (traces.parked, traces.incidents) == (0, 0)
        wait_until(lambda: progress_of(system, job_id).calls <= _served(served + system.record.read_bytes()), "record")
        record = tmp_path / "record.jsonl"
        record.write_bytes(served + system.record.read_bytes())
        findings = check_invariant(system.addresses.database_url, record, job_id)
    tally.effects["paid calls"] += findings.paid


def _served(record: bytes) -> int:
    return record.count(b"\n")
