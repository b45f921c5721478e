"""FAULTS 3: Valkey, which keeps nothing on disk, is killed and wiped in mid-run, twice each."""

import time

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes


def kill_and_flush_redis(strikes: Strikes, rounds: int = 2) -> None:
    """The scenario: whatever Redis held is gone at random moments, and the job ends all the same."""
    system = strikes.system
    job_id = submit(system, "redis", questions=160 * rounds)
    blows = [strikes.kill_redis, strikes.flush_redis] * rounds
    strikes.random.shuffle(blows)
    for number, strike in enumerate(blows):
        wait_for_admitted(system, job_id, 10 + 50 * number)
        time.sleep(strikes.random.uniform(0, 0.5))
        strike()
    wait_for_end(system, job_id)
    # No worker was struck: not one paid reply may be wasted.
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid


@pytest.mark.fault(3)
def test_a_job_ends_exact_although_redis_is_killed_and_wiped(strikes: Strikes) -> None:
    kill_and_flush_redis(strikes)
