"""FAULTS 5: a worker stalled past its lease wakes up when another one has its batches."""

import time

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import wait_until

TAKEN_OVER = """
SELECT count(*) = %(holds)s FROM batch WHERE id = ANY (%(ids)s) AND (state <> 'leased' OR worker NOT LIKE %(worker)s)
"""
FENCED_OFF = "SELECT count(*) FROM incident WHERE job_id = %(job_id)s AND kind = 'fenced_off'"
# Calls of stale holds: another hold of the batch began before their answer was recorded.
RECORDED_LATE = """
SELECT count(*) FROM call JOIN witness.claim AS next
    ON next.batch_id = call.batch_id AND next.fence = call.fence + 1
WHERE call.job_id = %(job_id)s AND call.state = 'ok' AND call.settled_at > next.at
"""


def stall_workers(strikes: Strikes, *, stalls: int = 1) -> None:
    """The scenario: a busy worker sleeps until its batches are another's, wakes and writes what it has in hand."""
    system = strikes.system
    # Enough that the job still runs when the worker has woken up: what comes for an ended job is no fenced-off write.
    job_id = submit(system, "stalled", questions=160 + 160 * stalls)
    for number in range(stalls):
        wait_for_admitted(system, job_id, 20 + 100 * number)
        time.sleep(strikes.random.uniform(0, 0.5))
        with strikes.stalled_worker() as struck:
            sought = {"holds": len(struck.holds), "ids": list(struck.holds), "worker": f"%:{struck.pid}"}
            wait_until(lambda: system.value(TAKEN_OVER, sought), "others to take over")  # noqa: B023 - called at once
    wait_for_end(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    fenced_off = wait_until(lambda: system.value(FENCED_OFF, {"job_id": job_id}), "a fenced-off write")
    late = system.value(RECORDED_LATE, {"job_id": job_id})
    assert late > 0, "no paid reply of a stalled worker was recorded"
    strikes.tally.effects["fenced-off writes"] += fenced_off
    strikes.tally.effects["replies recorded late"] += late
    strikes.tally.effects["paid calls"] += findings.paid
    strikes.tally.effects["wasted calls"] += findings.wasted


@pytest.mark.fault(5)
def test_a_stalled_worker_writes_nothing_that_is_fenced(strikes: Strikes) -> None:
    stall_workers(strikes)
