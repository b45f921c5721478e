"""Promises 1 to 4 on the whole real system: Postgres, Valkey, Celery workers, both wire formats over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.faults.invariant import check_invariant
from tests.faults.system import ROOT, Role, RunningSystem, find_processes, running_system, wait_until

SPEC = {
    "dataset": "system",
    "mix": {
        "domains": {"coding": 500, "math": 500, "reading": 250, "common sense": 250},
        "difficulties": {
            "easy": {"token_share": 0.6, "mean_tokens": 15},
            "hard": {"token_share": 0.4, "mean_tokens": 300},
        },
    },
    "models": {"generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"}},
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    # Few calls at once and a slow model, so that there is a middle of a run to strike in.
    # Two batches each: workers that take sixteen and sixteen hints beside them may leave none of a job for a guest.
    slow = {
        "QUESTMILL_CALLS_IN_FLIGHT": "6",
        "QUESTMILL_REHEARSAL_LATENCY": "0.3",
        "QUESTMILL_BATCHES_AT_ONCE": "2",
    }
    with running_system(tmp_path_factory.mktemp("home"), settings=slow) as running:
        yield running
    assert find_processes(running.home) == [], "Ctrl-C left processes behind"
    assert running.supervisor.returncode == 0


def wait_for_admitted(system: RunningSystem, job_id: str, count: int) -> dict[str, Any]:
    for event in system.client.events(job_id):
        if event.data["admitted"] >= count or event.data["state"] != "running":
            return event.data
    raise AssertionError("the stream ended")


def wait_for_end(system: RunningSystem, job_id: str) -> dict[str, Any]:
    for event in system.client.events(job_id):
        if event.data["state"] not in {"running", "paused"}:
            return system.client.job(job_id)
    return system.client.job(job_id)


def test_a_job_ends_exact_although_a_worker_is_killed_and_the_broker_wiped(
    system: RunningSystem, tmp_path: Path
) -> None:
    job = system.client.submit(SPEC)
    seen = wait_for_admitted(system, job["id"], 100)
    assert seen["state"] == "running"
    victim = system.processes(Role.WORKER)[0]
    os.kill(victim, signal.SIGKILL)
    redis.Redis.from_url(system.addresses.redis_url).flushall()
    ended = wait_for_end(system, job["id"])
    assert ended["state"] == "succeeded", ended["reason"]
    check_invariant(system.addresses.database_url, system.record, job["id"], in_flight=64)
    models = {call["model"] for call in system.client.calls(job["id"])}
    assert models == {"openai/gpt-6-luna", "anthropic/claude-sonnet-5-5"}

    path = tmp_path / "out.jsonl"
    system.client.export("system", "jsonl", path)
    exported = Counter((row["domain"], row["difficulty"]) for row in map(json.loads, path.read_text().splitlines()))
    planned = {(cell["domain"], cell["difficulty"]): cell["target"] for cell in ended["plan"]["cells"]}
    assert exported == Counter(planned)
    again = tmp_path / "again.jsonl"
    system.client.export("system", "jsonl", again)
    assert again.read_bytes() == path.read_bytes()


@contextmanager
def guest_worker(system: RunningSystem, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`./run worker` on a running system, ready for work."""
    environment = os.environ | system.addresses.worker | {
        "DATABASE_URL": system.addresses.database_url,
        "REDIS_URL": system.addresses.redis_url,
    }  # fmt: skip
    command = [sys.executable, "-m", "workers", "--concurrency", "4"]
    with log.open("wb") as said, subprocess.Popen(command, cwd=ROOT, env=environment, stderr=said) as guest:
        try:
            wait_until(lambda: guest.poll() is not None or "ready." in log.read_text(), "the guest")
            assert guest.poll() is None, log.read_text()
            yield guest
        finally:
            guest.kill()


def test_a_worker_joins_in_mid_job_and_leaves_without_losing_a_reply(system: RunningSystem, tmp_path: Path) -> None:
    with guest_worker(system, tmp_path / "guest.log") as guest:
        job = system.client.submit({**SPEC, "dataset": "guests", "seed": 7})
        deadline = time.monotonic() + 30
        while not any(f":{guest.pid}" in (batch["worker"] or "") for batch in system.client.batches(job["id"])):
            assert time.monotonic() < deadline, "the guest got no batch"
            time.sleep(0.05)
        guest.send_signal(signal.SIGTERM)
        assert guest.wait(60) == 0
    ended = wait_for_end(system, job["id"])
    assert ended["state"] == "succeeded", ended["reason"]
    findings = check_invariant(system.addresses.database_url, system.record, job["id"], in_flight=0)
    assert findings.paid > 0
