"""FAULTS 16: Postgres takes no writes for a while, in mid-run."""

from functools import partial
from pathlib import Path

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.standstill import stand_still, start_job, watching
from tests.faults.system import RunningSystem, running_system
from tests.faults.tally import Tally

SLOW = {"QUESTMILL_CALLS_IN_FLIGHT": "6", "QUESTMILL_REHEARSAL_LATENCY": "0.3"}


def make_read_only(system: RunningSystem) -> None:
    with system.database() as conn:
        conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        conn.execute("SELECT pg_reload_conf()")


def make_writable(system: RunningSystem) -> None:
    with system.database() as conn:
        conn.execute("SET default_transaction_read_only = off")
        conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
        conn.execute("SELECT pg_reload_conf()")


@pytest.mark.long
@pytest.mark.fault(16)
def test_a_job_stands_still_while_postgres_is_read_only_and_ends_exact(tmp_path: Path, tally: Tally) -> None:
    with running_system(tmp_path / "home", settings=SLOW) as system:
        job_id = start_job(system, "read-only")
        with watching(system, job_id):
            make_read_only(system)
            tally.injected[16] += 1
            in_flight = stand_still(
                system, job_id, database="it is read-only", detail="read-only", end=partial(make_writable, system)
            )
        check_invariant(system.addresses.database_url, system.record, job_id, in_flight=in_flight)
        for process in ("worker-1", "worker-2", "reconciler"):
            assert "database away" not in system.log_of(process)
