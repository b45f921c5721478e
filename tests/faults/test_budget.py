"""FAULTS 15: the budget is reached in mid-run."""

from decimal import Decimal

import pytest

from cli.client import ApiProblem
from tests.faults.invariant import check_invariant
from tests.faults.jobs import make_spec, progress_of, wait_for_end, wait_for_state
from tests.faults.strikes import Strikes
from tests.faults.system import RunningSystem, wait_until

UNSETTLED = "SELECT count(*) FROM call WHERE job_id = %(job_id)s AND state = 'sent'"
HELD = "SELECT count(*) FROM batch WHERE job_id = %(job_id)s AND state = 'leased'"
SPENT = "SELECT spent_usd FROM job_budget WHERE job_id = %(job_id)s"
# What arrives after the pause is put in order by the reconciler's next tick.
SURPLUS = """
SELECT count(*) FROM job_cell JOIN job ON job.id = job_cell.job_id WHERE job.id = %(job_id)s AND target < (
    SELECT count(*) FROM question WHERE question.dataset_id = job.dataset_id AND question.state = 'selected'
    AND question.domain = job_cell.domain AND question.difficulty = job_cell.difficulty)
"""
QUESTIONS = 240


def run_out_of_money(strikes: Strikes) -> None:
    """The scenario: money for a third of the job; it pauses, says what is missing, and goes on with more."""
    system = strikes.system
    spec = make_spec("poor", questions=QUESTIONS)
    needed = Decimal(system.client.plan(spec)["forecast"]["cost_usd"])
    budget = (needed * Decimal(strikes.random.uniform(0.3, 0.45))).quantize(Decimal("0.0001"))
    job_id = str(system.client.submit(spec | {"budget_usd": str(budget)})["id"])
    row = wait_for_state(system, job_id, "paused")
    strikes.count(15, "budgets reached")
    assert f"of ${budget:.6f}" in row.reason
    assert "resume with a higher budget to go on. Done: " in row.reason
    _wait_for_rest(system, job_id)
    spent = system.value(SPENT, {"job_id": job_id})
    next_usd = Decimal(row.reason.partition("may cost $")[2].partition(",")[0])
    assert budget - next_usd < spent <= budget, "there was money for another call"
    assert 0 < progress_of(system, job_id).admitted < QUESTIONS
    check_invariant(system.addresses.database_url, system.record, job_id, state="paused")

    with pytest.raises(ApiProblem, match="has already spent or reserved more than") as refused:
        system.client.resume(job_id, budget_usd=f"{spent / 2:.4f}")
    assert refused.value.status == 422
    # As much as before is no help: what the next call may cost still does not fit.
    with pytest.raises(ApiProblem, match="would pause again at once") as refused:
        system.client.resume(job_id)
    assert refused.value.status == 409
    assert f"of ${budget:.6f}, ${spent:.6f} is spent" in str(refused.value)
    check_invariant(system.addresses.database_url, system.record, job_id, state="paused")

    system.client.resume(job_id, budget_usd="50")
    wait_for_end(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    strikes.tally.effects["paid calls"] += findings.paid


def _wait_for_rest(system: RunningSystem, job_id: str) -> None:
    wait_until(lambda: system.value(UNSETTLED, {"job_id": job_id}) == 0, "the calls in flight")
    wait_until(lambda: system.value(HELD, {"job_id": job_id}) == 0, "the batches to be given back")
    wait_until(lambda: system.value(SURPLUS, {"job_id": job_id}) == 0, "the surplus to become the reserve", seconds=5)


@pytest.mark.fault(15)
def test_a_job_pauses_at_its_budget_and_goes_on_with_a_higher_one(strikes: Strikes) -> None:
    run_out_of_money(strikes)
