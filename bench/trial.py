"""A whole system to measure: `./run up` on free ports, its workers' CPU time and memory, its jobs."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import orjson

from local.process import Command, free_port, start_tethered
from tests.faults.system import ROOT, Role, RunningSystem, running_system, wait_until

# The defaults of the product, not the short ones of the fault tests.
AS_SHIPPED = {"QUESTMILL_LEASE_SECONDS": "30", "QUESTMILL_TICK_SECONDS": "5", "QUESTMILL_HINT_REPEAT_SECONDS": "30"}
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MODEL = "openai/bench"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class ModelServerAddress:
    """A `bench.model_server` that runs."""

    base_url: str

    @property
    def served(self) -> int:
        """How many calls it has answered."""
        return int(httpx2.get(f"{self.base_url.removesuffix('/v1')}/served").json()["served"])


@contextmanager
def model_server(folder: Path, replies: list[str], *, latency_seconds: float) -> Iterator[ModelServerAddress]:
    """Serve these replies until the end of the block."""
    file = folder / "replies.jsonl"
    file.write_bytes(b"".join(orjson.dumps(reply, option=orjson.OPT_APPEND_NEWLINE) for reply in replies))
    port = free_port()
    argv = [sys.executable, "-m", "bench.model_server", "--port", str(port), "--replies", str(file)]
    argv += ["--latency", str(latency_seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = start_tethered(Command(argv, environment=environment, folder=ROOT), folder / "model.log")
    address = ModelServerAddress(f"http://127.0.0.1:{port}/v1")
    try:
        wait_until(lambda: _answers(address), "the model server")
        yield address
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def trial(
    model: ModelServerAddress | None = None, *, workers: int = 1, settings: Mapping[str, str] | None = None
) -> Iterator[RunningSystem]:
    """The system as a person starts it, without a witness; its calls go to `model`, else to the rehearsal server."""
    told = dict(AS_SHIPPED)
    if model is not None:
        told |= {
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": model.base_url,
            "QUESTMILL_PRICES": orjson.dumps({MODEL: {"input": "0.1", "output": "0.4"}}).decode(),
        }
    with (
        tempfile.TemporaryDirectory(prefix="questmill-bench-", ignore_cleanup_errors=True) as folder,
        running_system(Path(folder), settings=told | dict(settings or {}), workers=workers, watched=False) as system,
    ):
        wait_until(lambda: all(map(system.is_ready, system.wait_for_processes(Role.WORKER, workers))), "the workers")
        yield system


def make_spec(*, calls: int, questions_per_call: int, model: str = MODEL, **changes: object) -> dict[str, Any]:
    """A spec of one cell, of short questions, for a new dataset, that takes about so many calls."""
    return {
        "dataset": f"bench-{os.getpid()}-{next(_numbers)}",
        "mix": {
            "domains": {"coding": calls * questions_per_call},
            "difficulties": {"easy": {"token_share": 1, "mean_tokens": 20}},
        },
        "models": {"generate": {"easy": model}},
        "questions_per_call": {"easy": questions_per_call},
        "budget_usd": "1000",
        "seed": 2025,
        **changes,
    }


@dataclass(frozen=True, slots=True)
class Ran:
    """A job that has succeeded: its calls, its time from POST to its end, and the CPU time that it took by role."""

    job: dict[str, Any]
    calls: int
    seconds: float
    cpu_seconds: dict[str, float]


def run_job(system: RunningSystem, spec: Mapping[str, Any]) -> Ran:
    """Submit, wait for success, and count what it took."""
    before = cpu_by_role(system)
    started = time.monotonic()
    job_id = str(system.client.submit(dict(spec))["id"])

    def look() -> str | None:
        state = str(system.value("SELECT state FROM job WHERE id = %s", [job_id]))
        return state if state != "running" else None

    state = wait_until(look, "the job's end", seconds=900)
    seconds = time.monotonic() - started
    job = system.client.job(job_id)
    assert state == "succeeded", f"{state}: {job['reason']}"
    after = cpu_by_role(system)
    return Ran(
        job, int(job["progress"]["calls"]["sent"]), seconds, {role: after[role] - before[role] for role in after}
    )


def cpu_by_role(system: RunningSystem) -> dict[str, float]:
    """CPU seconds so far, user and system, of all processes of each role."""
    return {role.name.lower(): sum(map(cpu_seconds, system.processes(role))) for role in Role}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND


def memory_mb(pid: int) -> float:
    """Resident memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _answers(address: ModelServerAddress) -> bool:
    try:
        return address.served >= 0
    except httpx2.HTTPError:
        return False
