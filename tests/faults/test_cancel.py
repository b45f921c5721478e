"""FAULTS 8: a job is cancelled in mid-run."""

import time

import pytest

from cli.client import ApiProblem
from tests.faults.invariant import check_invariant
from tests.faults.jobs import progress_of, submit, wait_for_admitted
from tests.faults.strikes import Strikes
from tests.faults.system import wait_until

NOW = "SELECT clock_timestamp()"
UNSETTLED = "SELECT count(*) FROM call WHERE job_id = %(job_id)s AND state = 'sent'"
SENT_AFTER = "SELECT count(*) FROM call WHERE job_id = %(job_id)s AND sent_at > %(at)s"
# Under way at the cancel: without an answer, or answered at that moment and not read yet. In flight: without an answer
# when the cancel had committed. Left lying: a second later its worker took in another one's answer, and so was awake.
UNDER_WAY = """
SELECT call.state, outcome, cost_usd, settled_at > %(at)s AS was_in_flight, parsed_at,
    EXISTS (
        SELECT FROM call AS later JOIN witness.claim AS other USING (batch_id, fence)
        JOIN witness.claim AS own ON own.worker = other.worker
        WHERE later.job_id = job.id AND own.batch_id = call.batch_id AND own.fence = call.fence
            AND later.settled_at BETWEEN call.settled_at + interval '1 s' AND job.finished_at
    ) AS was_left_lying
FROM call JOIN job ON job.id = call.job_id
WHERE job.id = %(job_id)s AND (settled_at > job.finished_at OR parsed_at IS NULL)
"""
CALLS_OF_TWO_WORKERS = 12


def cancel_in_mid_run(strikes: Strikes) -> None:
    """The scenario: a cancel at a random moment of a busy run; only what was in flight still arrives."""
    system = strikes.system
    job_id = submit(system, "cancelled", questions=600)
    wait_for_admitted(system, job_id, strikes.random.randrange(40, 160))
    time.sleep(strikes.random.uniform(0, 0.5))
    system.client.cancel(job_id)
    answered_at = system.value(NOW)
    strikes.count(8, "jobs cancelled")
    admitted = progress_of(system, job_id).admitted
    wait_until(lambda: system.value(UNSETTLED, {"job_id": job_id}) == 0, "the calls in flight", seconds=10)
    assert system.value(SENT_AFTER, {"job_id": job_id, "at": answered_at}) == 0, "a call was sent after the cancel"
    under_way = system.query(UNDER_WAY, {"job_id": job_id, "at": answered_at})
    assert 0 < sum(call.was_in_flight for call in under_way) <= CALLS_OF_TWO_WORKERS
    assert [call for call in under_way if call.was_left_lying] == [], "a paid reply had been left lying"
    assert [call for call in under_way if call.state != "ok" or not call.cost_usd] == [], "a call is not recorded"
    assert progress_of(system, job_id).admitted == admitted, "a question was admitted after the cancel"
    with pytest.raises(ApiProblem, match="cancelled"):
        system.client.resume(job_id)
    findings = check_invariant(
        system.addresses.database_url, system.record, job_id, in_flight=len(under_way), state="cancelled"
    )
    strikes.tally.effects["calls in flight at cancels"] += len(under_way)
    strikes.tally.effects["paid calls"] += findings.paid
    strikes.tally.effects["wasted calls"] += findings.wasted


@pytest.mark.fault(8)
def test_a_cancelled_job_spends_no_more_than_its_calls_in_flight(strikes: Strikes) -> None:
    cancel_in_mid_run(strikes)
