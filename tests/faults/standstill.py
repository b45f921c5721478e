"""A database that takes no writes for a while: what the API must say meanwhile, and that nobody crashes or spins."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.faults.jobs import make_spec, progress_of, wait_for_admitted, wait_for_end
from tests.faults.system import ROOT, Role, RunningSystem, wait_until

OURS = (Role.WORKER, Role.RECONCILER, Role.API)
# Of /readyz, in either direction.
NOTICED_SECONDS = 1.0
STANDSTILL_SECONDS = 5.0  # longer than a lease
# A worker that waits for its database repeats each transaction after 0.2 to 3 s.
IDLE_SHARE_OF_A_CORE = 0.25
CALM_LINES_A_SECOND = 25
UNSETTLED = "SELECT count(*) FROM call WHERE job_id = %(job_id)s AND state = 'sent'"


def stand_still(system: RunningSystem, job_id: str, *, database: str, detail: str, end: Callable[[], None]) -> int:
    """Call it just after the database began to refuse writes; `end` ends the refusal, also when a check fails.

    `database` is what /readyz must say of it, `detail` a part of what a refused request must be told. Returns how many
    calls were in flight or answered and waiting to be written down: no lease can be renewed meanwhile, so the next
    holder may repeat them.
    """
    before = {role: system.processes(role) for role in OURS}
    try:
        _wait_for_readyz(system, 503, f"away: {database}")
        _check_refusal(system, detail)
        wait_for_standstill(system, job_id)
        _check_calm(system)
        unsettled = int(system.value(UNSETTLED, {"job_id": job_id}))
    finally:
        end()
    _wait_for_readyz(system, 200, "ok")
    wait_for_end(system, job_id)
    assert {role: system.processes(role) for role in OURS} == before, "a process has ended"
    return unsettled


@contextmanager
def watching(system: RunningSystem, job_id: str) -> Iterator[None]:
    """`questmill watch` from here to the job's end, which it must see."""
    environment = os.environ | {"QUESTMILL_API_URL": system.addresses.api_url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cli", "watch", job_id]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        try:
            yield
            out, err = watch.communicate(timeout=10)
        finally:
            watch.kill()
    assert watch.returncode == 0, err
    assert out.splitlines()[-1].startswith("event=end")


def start_job(system: RunningSystem, name: str) -> str:
    """A job that is in full swing."""
    job_id = str(system.client.submit(make_spec(name))["id"])
    wait_for_admitted(system, job_id, 40)
    return job_id


def wait_for_standstill(system: RunningSystem, job_id: str) -> None:
    """Until nothing more is admitted for a second."""

    def stands() -> bool:
        admitted = progress_of(system, job_id).admitted
        time.sleep(1)
        return bool(progress_of(system, job_id).admitted == admitted)

    wait_until(stands, "the job to stand still")


def _wait_for_readyz(system: RunningSystem, status: int, database: str) -> None:
    began = time.monotonic()
    while (answer := httpx2.get(f"{system.addresses.api_url}/readyz")).status_code != status:
        assert time.monotonic() - began < NOTICED_SECONDS, answer.text
        time.sleep(0.05)
    assert answer.json()["database"] == database
    assert ("Retry-After" in answer.headers) == (status == 503)


def _check_refusal(system: RunningSystem, detail: str) -> None:
    # A hundred cells do not fit into the pages that the tables have.
    domains = {f"domain {number}": 10 for number in range(50)}
    spec = make_spec("refused")
    spec["mix"]["domains"] = domains
    began = time.monotonic()
    answer = httpx2.post(f"{system.addresses.api_url}/v1/jobs", json=spec, timeout=20)
    assert time.monotonic() - began < 2
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert detail in answer.json()["detail"]
    assert "Nothing was changed" in answer.json()["detail"]
    assert [job["dataset"] for job in system.client.jobs() if job["dataset"] == spec["dataset"]] == []


def _check_calm(system: RunningSystem) -> None:
    """Those who wait neither spin nor flood their logs."""
    logs = [system.home / "logs" / f"{name}.log" for name in ("reconciler", "worker-1", "worker-2")]
    pids = [pid for role in (Role.WORKER, Role.RECONCILER) for pid in system.processes(role)]
    lines = {log: _count_lines(log) for log in logs}
    busy = {pid: _cpu_seconds(pid) for pid in pids}
    time.sleep(STANDSTILL_SECONDS)
    for pid in pids:
        assert _cpu_seconds(pid) - busy[pid] < IDLE_SHARE_OF_A_CORE * STANDSTILL_SECONDS
    for log in logs:
        assert _count_lines(log) - lines[log] < CALM_LINES_A_SECOND * STANDSTILL_SECONDS, log.read_text()[-3000:]


def _count_lines(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
