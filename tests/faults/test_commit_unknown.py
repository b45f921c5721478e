"""FAULTS 18: connections are cut at COMMIT, after it took place and before anybody is told, and anywhere else."""

import time

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import Role

OURS = (Role.WORKER, Role.RECONCILER, Role.API)
ROUNDS = 3
FEWEST_CUTS = 10


def cut_commits(strikes: Strikes, rounds: int = ROUNDS) -> None:
    """The scenario: every write is repeated without a second effect, and no process of ours gives up."""
    system = strikes.system
    job_id = submit(system, "cut", questions=120 * rounds)
    processes = {role: sorted(system.processes(role)) for role in OURS}
    cut = 0
    for number in range(rounds):
        wait_for_admitted(system, job_id, 10 + 60 * number)
        time.sleep(strikes.random.uniform(0, 0.3))
        cut += strikes.cut_at_commit(seconds=strikes.random.uniform(0.5, 1.5))
        time.sleep(strikes.random.uniform(0, 0.3))
        strikes.cut_anywhere()
    wait_for_end(system, job_id)
    assert cut >= FEWEST_CUTS, f"only {cut} connections were cut at COMMIT: this run shows nothing"
    # The law compares what batches count with their calls, questions and refusals.
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    assert {role: sorted(system.processes(role)) for role in OURS} == processes, "somebody had to be restarted"
    strikes.tally.effects["paid calls"] += findings.paid


@pytest.mark.fault(18)
def test_a_write_repeated_after_an_unknown_commit_has_its_effect_once(strikes: Strikes) -> None:
    cut_commits(strikes)
