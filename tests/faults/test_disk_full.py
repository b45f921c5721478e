"""FAULTS 16: the disk that holds the tables is full for a while, in mid-run."""

from pathlib import Path

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.small_disk import small_disk
from tests.faults.standstill import stand_still, start_job, watching
from tests.faults.system import running_system
from tests.faults.tally import Tally

SLOW = {"QUESTMILL_CALLS_IN_FLIGHT": "6", "QUESTMILL_REHEARSAL_LATENCY": "0.3"}


@pytest.mark.long
@pytest.mark.fault(16)
def test_a_job_stands_still_while_the_disk_is_full_and_ends_exact(tmp_path: Path, tally: Tally) -> None:
    with small_disk(tmp_path / "server") as disk:
        settings = SLOW | {"DATABASE_URL": disk.url}
        with running_system(tmp_path / "home", settings=settings) as system:
            job_id = start_job(system, "full")
            with watching(system, job_id):
                disk.fill()
                tally.injected[16] += 1
                in_flight = stand_still(system, job_id, database="its disk is full", detail="Make room", end=disk.free)
            check_invariant(system.addresses.database_url, system.record, job_id, in_flight=in_flight)
            assert "no room on the database's disk" in system.log_of("worker-1") + system.log_of("worker-2")
