"""Promise 3: a lease is renewed through a long wait for the limiter and a long answer, twenty leases each."""

from pathlib import Path

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import make_spec, wait_for_end
from tests.faults.system import running_system, wait_until

LEASE_SECONDS = 0.7
WAIT_SECONDS = 20 * LEASE_SECONDS
HOLDS = """
SELECT max(fence) AS fence, max(attempts) AS attempts,
    (SELECT count(*) FROM incident WHERE incident.job_id = %(job_id)s) AS incidents
FROM batch WHERE job_id = %(job_id)s
"""
ALL_SENT = """
SELECT (SELECT count(*) FROM call WHERE job_id = %(job_id)s) = (SELECT sum(calls) FROM batch WHERE job_id = %(job_id)s)
"""
SLOWEST = "SELECT max(extract(epoch FROM settled_at - sent_at)) FROM call WHERE job_id = %(job_id)s"
SLOW, PAUSED = "openai/gpt-6-luna", "anthropic/claude-sonnet-5-5"


def wait_long(home: Path, *, lease_seconds: float, wait_seconds: float) -> str:
    """The scenario: one job whose answers take so long, and one whose model says Retry-After; what was seen of both."""
    settings = {
        "QUESTMILL_LEASE_SECONDS": f"{lease_seconds:g}",
        "QUESTMILL_CALL_TIMEOUT_SECONDS": f"{4 * wait_seconds:g}",
        "QUESTMILL_REHEARSAL_LATENCY": f"{wait_seconds:g}",
    }
    with running_system(home, settings=settings, workers=1) as system:
        spec = make_spec("answers", questions=40, models={"generate": {"easy": SLOW, "hard": SLOW}})
        answers = system.client.submit(spec)["id"]
        wait_until(lambda: system.value(ALL_SENT, {"job_id": answers}), "all calls to be sent")
        # Those that are on their way keep their latency.
        system.rehearse("latency", seconds=0.1)
        system.rehearse("faults", next=["429"], retry_after_seconds=int(wait_seconds))
        spec = make_spec("limiter", questions=40, models={"generate": {"easy": PAUSED, "hard": PAUSED}})
        limiter = system.client.submit(spec)["id"]
        for job_id in (answers, limiter):
            wait_for_end(system, job_id, quiet_seconds=4 * wait_seconds)
            check_invariant(system.addresses.database_url, system.record, job_id)
            [holds] = system.query(HOLDS, {"job_id": job_id})
            assert (holds.fence, holds.incidents) == (1, 0), "a lease was lost"
        slowest = system.value(SLOWEST, {"job_id": answers})
        took = system.value("SELECT extract(epoch FROM finished_at - created_at) FROM job WHERE id = %s", [limiter])
        assert slowest > wait_seconds / 2
        assert took > wait_seconds
        return (
            f"lease {lease_seconds:g} s: held through an answer of {slowest:.0f} s and a limiter wait of {took:.0f} s"
        )


@pytest.mark.long
def test_a_lease_is_held_through_long_waits(tmp_path: Path) -> None:
    wait_long(tmp_path / "home", lease_seconds=LEASE_SECONDS, wait_seconds=WAIT_SECONDS)
