"""FAULTS 11: one POST twenty times in parallel, with one Idempotency-Key."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import make_spec, wait_for_end
from tests.faults.patience import Patience
from tests.faults.strikes import Strikes
from tests.faults.system import AWAY_SECONDS, RunningSystem

TWINS = 20
KILLS = 2
JOBS = "SELECT id::text FROM job WHERE idempotency_key = %(key)s"
OF_DATASET = "SELECT count(*) FROM job JOIN dataset ON dataset.id = job.dataset_id WHERE dataset.name = %(name)s"


def send_twins(strikes: Strikes, *, kills: int = 0) -> str:
    """The scenario: twenty clients send the same request at once, and again while the API is away; returns the job."""
    system = strikes.system
    spec = make_spec("twins", questions=48)
    key = f"twins-{strikes.random.getrandbits(64):x}"
    with ThreadPoolExecutor(TWINS) as pool:
        answers = [pool.submit(_post, system, spec, key) for _ in range(TWINS)]
        for _ in range(kills):
            time.sleep(strikes.random.uniform(0, 0.3))
            strikes.kill_api(fault=11)
    told = [each.result() for each in answers]
    strikes.count(11, "repeated requests", TWINS - 1)
    codes = Counter(answer.status_code for answer in told)
    # Whoever was to be told 202 may have been cut off before it heard so.
    assert codes in ([{202: 1, 200: TWINS - 1}, {200: TWINS}] if kills else [{202: 1, 200: TWINS - 1}]), codes
    [job] = system.query(JOBS, {"key": key})
    assert {answer.json()["id"] for answer in told} == {job.id}
    assert system.value(OF_DATASET, {"name": spec["dataset"]}) == 1
    other = _post(system, spec | {"seed": 7}, key)
    assert other.status_code == 409, other.text
    assert job.id in other.json()["detail"]
    assert _post(system, spec, key).status_code == 200
    return str(job.id)


def _post(system: RunningSystem, spec: dict[str, Any], key: str) -> httpx2.Response:
    """The answer, as soon as there is an API that gives one."""
    patience = Patience(AWAY_SECONDS)
    while True:
        try:
            return httpx2.post(
                f"{system.addresses.api_url}/v1/jobs", json=spec, headers={"Idempotency-Key": key}, timeout=30
            )
        except httpx2.TransportError:
            assert not patience.is_over(), "the API stayed away"
        time.sleep(0.05)


@pytest.mark.long
@pytest.mark.fault(11)
def test_twenty_equal_requests_make_one_job(strikes: Strikes) -> None:
    system = strikes.system
    for kills in (0, KILLS):
        job_id = send_twins(strikes, kills=kills)
        wait_for_end(system, job_id)
        check_invariant(system.addresses.database_url, system.record, job_id)
