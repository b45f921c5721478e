"""FAULTS 12: workers whose clocks are an hour off."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import files
from pathlib import Path
from random import Random

import pytest

from local.process import Command, start_tethered
from tests.faults.invariant import check_invariant
from tests.faults.jobs import progress_of, submit, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import QUICK, ROOT, RunningSystem, running_system, wait_until
from tests.faults.tally import Tally

HOUR_SECONDS = 3600
# Long enough that a busy machine lets no lease run out by itself.
OWN_LEASE_SECONDS = 15.0
# Two batches each: a worker that takes sixteen and sixteen hints beside them may leave none of this job for a guest.
OWN = {"QUESTMILL_LEASE_SECONDS": f"{OWN_LEASE_SECONDS:g}", "QUESTMILL_BATCHES_AT_ONCE": "2"}
LIBRARY = next(file for file in files("libfaketime") or [] if file.name == "libfaketime.so.1").locate()
TIMESTAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\S*Z")
CLAIMS = "SELECT count(*) FROM witness.claim JOIN batch ON batch.id = claim.batch_id WHERE job_id = %(job_id)s "
INCIDENTS = "SELECT kind, worker FROM incident WHERE job_id = %(job_id)s"
SPANS = """
SELECT EXTRACT(epoch FROM min(lease_until - clock_timestamp()))::float AS shortest,
    EXTRACT(epoch FROM max(lease_until - clock_timestamp()))::float AS longest
FROM batch WHERE job_id = %(job_id)s AND state = 'leased'
"""
LONGEST_HOLD = """
SELECT EXTRACT(epoch FROM max(batch.finished_at - claim.at))::float FROM witness.claim
JOIN batch ON batch.id = claim.batch_id WHERE job_id = %(job_id)s AND claim.worker LIKE %(worker)s
"""


@dataclass(frozen=True, slots=True)
class Guest:
    """A worker of ours that joined the system."""

    process: subprocess.Popen[bytes]
    log: Path

    def clock_off_seconds(self) -> float:
        """How far the clock of its newest log line is from ours."""
        stamps = [match[1] for line in self.log.read_text().splitlines() if (match := TIMESTAMP.match(line))]
        told = datetime.fromisoformat(stamps[-1]).replace(tzinfo=UTC)
        return (told - datetime.now(UTC)).total_seconds()


@contextmanager
def guest_worker(system: RunningSystem, *, off_seconds: int) -> Iterator[Guest]:
    """One more worker, whose wall clock is off; it drains at the end of the block."""
    environment = {
        **os.environ,
        **QUICK,
        **OWN,
        **system.addresses.worker,
        "DATABASE_URL": system.addresses.database_url,
        "REDIS_URL": system.addresses.redis_url,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": f"{off_seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    log = system.home / f"guest{off_seconds:+d}.log"
    command = Command([sys.executable, "-m", "workers", "--concurrency", "6"], environment=environment, folder=ROOT)
    process = start_tethered(command, log)
    try:
        yield Guest(process, log)
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def run_with_wrong_clocks(strikes: Strikes) -> None:
    """The scenario: a worker an hour ahead and one an hour behind take their share of a job."""
    system = strikes.system
    with ExitStack() as stack:
        guests = {
            off: stack.enter_context(guest_worker(system, off_seconds=off)) for off in (HOUR_SECONDS, -HOUR_SECONDS)
        }
        for guest in guests.values():
            wait_until(lambda: " ready." in guest.log.read_text(), f"the guest of {guest.log}")  # noqa: B023 - called at once
        strikes.count(12, "clocks an hour off", len(guests))
        job_id = submit(system, "hour-off", questions=360, questions_per_call={"easy": 2, "hard": 1})
        while progress_of(system, job_id).state == "running":
            [spans] = system.query(SPANS, {"job_id": job_id})
            if spans.longest is not None:
                assert spans.longest <= OWN_LEASE_SECONDS, "a lease by another clock than the database's"
                assert spans.shortest > -60, "a lease by another clock than the database's"
            time.sleep(0.1)
        wait_for_end(system, job_id)
        assert system.query(INCIDENTS, {"job_id": job_id}) == []
        assert system.value(CLAIMS + "AND claim.was = 'leased'", {"job_id": job_id}) == 0
        for off, guest in guests.items():
            assert abs(guest.clock_off_seconds() - off) < 60
            mine = {"job_id": job_id, "worker": f"%:{guest.process.pid}"}
            assert system.value(CLAIMS + "AND claim.worker LIKE %(worker)s", mine) > 0, "a guest got no work"
            assert system.value(LONGEST_HOLD, mine) > OWN_LEASE_SECONDS / 3, "no lease was renewed"
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    strikes.tally.effects["paid calls"] += findings.paid


@pytest.mark.long
@pytest.mark.fault(12)
def test_no_lease_ends_early_although_clocks_are_an_hour_off(tmp_path: Path, tally: Tally) -> None:
    settings = OWN | {"QUESTMILL_CALLS_IN_FLIGHT": "6", "QUESTMILL_REHEARSAL_LATENCY": "1"}
    with running_system(tmp_path / "home", settings=settings) as system:
        run_with_wrong_clocks(Strikes(system, Random(f"{tally.seed}/clocks"), tally))
