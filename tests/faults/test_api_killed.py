"""FAULTS 10: the API is killed between COMMIT and whatever it would do next."""

import threading
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import make_spec, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import Role, wait_until

KILLS = 2


def kill_api_after_commit(strikes: Strikes, kills: int = KILLS) -> None:
    """The scenario: the witness tells of the commit, the API dies; the job runs and the key still finds it."""
    for _ in range(kills):
        _kill_once(strikes)


def _kill_once(strikes: Strikes) -> None:
    system = strikes.system
    url = f"{system.addresses.api_url}/v1/jobs"
    spec, headers = make_spec("orphan", questions=60), {"Idempotency-Key": str(uuid4())}
    heard: list[int] = []

    def post() -> None:
        try:
            heard.append(httpx2.post(url, json=spec, headers=headers, timeout=30, trust_env=False).status_code)
        except httpx2.TransportError:
            strikes.tally.effects["POSTs without an answer"] += 1

    [before] = system.wait_for_processes(Role.API, 1)
    wait_until(lambda: _answers(url), "the API")
    with psycopg.connect(system.addresses.database_url, autocommit=True) as conn:
        conn.execute("LISTEN witness_job")
        posting = threading.Thread(target=post)
        posting.start()
        told = next(conn.notifies(timeout=30), None)
        strikes.kill_api()
    posting.join()
    assert told is not None, "the job was not committed"
    assert heard in ([], [202]), heard
    wait_for_end(system, told.payload)
    assert system.wait_for_processes(Role.API, 1) != [before]
    wait_until(lambda: _answers(url), "the API")
    again = httpx2.post(url, json=spec, headers=headers, timeout=30, trust_env=False)
    assert (again.status_code, again.json()["id"]) == (200, told.payload)
    # No worker was struck: not one paid reply may be wasted.
    findings = check_invariant(system.addresses.database_url, system.record, told.payload, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.long
@pytest.mark.fault(10)
def test_a_job_runs_although_the_api_dies_right_after_its_commit(strikes: Strikes) -> None:
    kill_api_after_commit(strikes)
