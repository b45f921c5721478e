"""FAULTS 4: Valkey is frozen when a job is posted, and again in mid-run."""

import time

import httpx2
import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import make_spec, progress_of, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import RunningSystem, wait_until

PROMISED_SECONDS = 1.0
# What a worker had booked before the freeze is sent and settled within so long.
SETTLED_SECONDS = 3.0


def assert_degraded(system: RunningSystem) -> float:
    """Ready and honest about the broker, soon; returns how long the answer took."""
    began = time.monotonic()
    answer = httpx2.get(f"{system.addresses.api_url}/readyz", timeout=30)
    took = time.monotonic() - began
    assert (answer.status_code, answer.json()["broker"]) == (200, "degraded")
    assert took < PROMISED_SECONDS, f"/readyz took {took:.2f} s"
    return took


def assert_nothing_starts(system: RunningSystem, job_id: str, seconds: float) -> None:
    """Without its rate limiter no worker may call."""
    before = progress_of(system, job_id).calls
    time.sleep(seconds)
    assert progress_of(system, job_id).calls == before, "calls were made without a limiter"


def freeze_redis(strikes: Strikes, freezes: int = 2) -> None:
    """The scenario: a post into a frozen Redis, then freezes in mid-run; the job runs whenever it thaws."""
    system = strikes.system
    spec = make_spec("frozen", questions=120 * freezes)
    with strikes.frozen_redis():
        slowest = assert_degraded(system)
        began = time.monotonic()
        answer = httpx2.post(f"{system.addresses.api_url}/v1/jobs", json=spec, timeout=30)
        posted = time.monotonic() - began
        assert answer.status_code == 202, answer.text
        assert posted < PROMISED_SECONDS, f"POST took {posted:.2f} s"
        job_id = answer.json()["id"]
        assert_nothing_starts(system, job_id, strikes.random.uniform(1, 6))
        assert progress_of(system, job_id).calls == 0
        slowest = max(slowest, assert_degraded(system))
    for number in range(freezes):
        wait_for_admitted(system, job_id, 15 + 60 * number)
        time.sleep(strikes.random.uniform(0, 0.5))
        with strikes.frozen_redis():
            slowest = max(slowest, assert_degraded(system))
            time.sleep(SETTLED_SECONDS)
            assert_nothing_starts(system, job_id, strikes.random.uniform(1, 6))
    wait_for_end(system, job_id)
    wait_until(lambda: httpx2.get(f"{system.addresses.api_url}/readyz").json()["broker"] == "ok", "the broker")
    # No worker was struck: not one paid reply may be wasted.
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid
    strikes.tally.notes.append(f"with Redis frozen, POST took {posted:.2f} s and /readyz {slowest:.2f} s at most")


@pytest.mark.long
@pytest.mark.fault(4)
def test_a_frozen_redis_delays_a_job_and_nothing_else(strikes: Strikes) -> None:
    freeze_redis(strikes)
