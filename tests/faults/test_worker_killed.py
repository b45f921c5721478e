"""FAULTS 1: SIGKILL of workers, many times over a run."""

import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes, Struck
from tests.faults.system import LEASE_SECONDS, TICK_SECONDS, Role, RunningSystem, running_system, wait_until
from tests.faults.tally import Tally

# Time for the message, the claim and a busy machine, on top of a lease and a tick.
GRACE_SECONDS = 3.0
KILLS = 4
SENT = "SELECT count(*) FROM call WHERE state = 'sent'"
RESUMED = """
SELECT count(*) FROM batch JOIN job ON job.id = batch.job_id
WHERE batch.id = %(id)s AND batch.fence = %(fence)s AND batch.state = 'leased' AND job.state = 'running'
"""


def assert_resumed(system: RunningSystem, struck: Struck, seconds: float) -> float:
    """Every batch of a dead worker is claimed again, ended or dropped in time; returns how long it took."""
    began = time.monotonic()
    for batch_id, fence in struck.holds.items():
        while system.value(RESUMED, {"id": batch_id, "fence": fence}):
            waited = time.monotonic() - began
            assert waited < seconds, f"batch {batch_id} still waits after {waited:.1f} s"
            time.sleep(0.05)
    return time.monotonic() - began


def kill_workers(strikes: Strikes, kills: int = KILLS) -> None:
    """The scenario: a job, workers killed at random moments, then the law."""
    system = strikes.system
    # Slow, so that it is not over before a worker is back.
    system.rehearse("latency", seconds=1.5)
    job_id = submit(system, "killed", questions=120 * (kills + 1))
    slowest = 0.0
    for number in range(kills):
        wait_for_admitted(system, job_id, 20 + 40 * number)
        # Somebody must be there to go on.
        wait_until(lambda: sum(map(system.is_ready, system.processes(Role.WORKER))) > 1, "two workers")
        time.sleep(strikes.random.uniform(0, 0.5))
        struck = strikes.kill_worker()
        slowest = max(slowest, assert_resumed(system, struck, LEASE_SECONDS + TICK_SECONDS + GRACE_SECONDS))
    system.rehearse("latency", seconds=0.5)
    wait_for_end(system, job_id)
    strikes.tally.notes.append(
        f"killed workers' batches ran again after {slowest:.1f} s at most "
        f"(lease {LEASE_SECONDS:g} s, tick {TICK_SECONDS:g} s)"
    )
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid
    strikes.tally.effects["wasted calls"] += findings.wasted


def kill_worker_at_full_speed(strikes: Strikes, *, calls: int) -> None:
    """The scenario: one SIGKILL when a worker has `calls` calls in flight, and what it wasted."""
    system = strikes.system
    job_id = submit(system, "full", questions=600)

    def look() -> int | None:
        # Not only written down: the model has all of them.
        if system.calls_at_model() < system.value(SENT):
            return None
        return next((pid for pid in system.processes(Role.WORKER) if strikes.under_way(pid) >= calls), None)

    strikes.kill_worker(wait_until(look, f"a worker with {calls} calls under way"))
    wait_for_end(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    assert findings.wasted <= calls
    assert findings.paid_twice <= calls
    strikes.tally.notes.append(
        f"one SIGKILL at {strikes.in_flight} calls in flight: {findings.wasted} of {findings.paid} paid calls wasted, "
        f"{findings.paid_twice} prompts paid twice"
    )


@pytest.mark.fault(1)
@pytest.mark.long
def test_a_kill_wastes_no_more_than_the_calls_in_flight(tmp_path: Path, tally: Tally) -> None:
    settings = {"QUESTMILL_CALLS_IN_FLIGHT": "50", "QUESTMILL_REHEARSAL_LATENCY": "2"}
    with running_system(tmp_path / "home", settings=settings) as system:
        kill_worker_at_full_speed(Strikes(system, Random(tally.seed), tally), calls=50)


@pytest.mark.fault(1)
@pytest.mark.long
def test_a_job_ends_exact_although_workers_are_killed(strikes: Strikes) -> None:
    kill_workers(strikes)
