"""A dataset is backed up in mid-run, lost with its server, restored; the job goes on and the law holds."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.postgres import EmbeddedPostgres
from tests.faults.invariant import check_invariant
from tests.faults.jobs import progress_of, submit, wait_for_admitted, wait_for_end
from tests.faults.system import ROOT, find_processes, running_system

CALLS_IN_FLIGHT = 6
WORKERS = 2
FEW = {"QUESTMILL_CALLS_IN_FLIGHT": f"{CALLS_IN_FLIGHT}"}
SLOW = FEW | {"QUESTMILL_REHEARSAL_LATENCY": "2"}
QUICK = FEW | {"QUESTMILL_REHEARSAL_LATENCY": "0.1"}


def run_local(home: Path, *arguments: str) -> str:
    """What a command of `./run` on this home says; it must succeed."""
    given = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    ended = subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=given | {"QUESTMILL_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def wipe(home: Path) -> None:
    """Lose the server with all that it holds, its password and port too."""
    shutil.rmtree(EmbeddedPostgres(home / "postgres").data)
    shutil.rmtree(home / "postgres")


@pytest.mark.long
def test_a_job_goes_on_from_a_backup_after_its_database_is_lost(tmp_path: Path) -> None:
    home, file, record = tmp_path / "home", tmp_path / "backup.dump", tmp_path / "record.jsonl"
    with running_system(home, settings=SLOW, workers=WORKERS) as system:
        job_id = submit(system, "restored", questions=480)
        wait_for_admitted(system, job_id, 40)
        assert "1 dataset, 1 job" in run_local(home, "backup", str(file))
        wait_for_admitted(system, job_id, progress_of(system, job_id).admitted + 20)
        given = {str(row.id): row.fence for row in system.query("SELECT id, fence FROM batch")}
    before = [json.loads(line) for line in system.record.read_text().splitlines()]
    assert find_processes(home) == []

    lost_at = datetime.now(UTC)
    wipe(home)
    assert "Restored into questmill: 1 dataset, 1 job" in run_local(home, "restore", str(file), "--yes")
    assert find_processes(home) == []

    with running_system(home, settings=QUICK, workers=WORKERS) as system:
        wait_for_end(system, job_id)
        # The model server forgets its record at each start. What it was asked for after the backup is in no ledger.
        ledger = {str(row.id) for row in system.query("SELECT id FROM call")}
        kept = [entry for entry in before if entry["id"] in ledger]
        assert 0 < len(kept) < len(before)
        after = system.record.read_text()
        assert after
        record.write_text("".join(json.dumps(entry) + "\n" for entry in kept) + after)
        check_invariant(system.addresses.database_url, record, job_id, in_flight=WORKERS * CALLS_IN_FLIGHT)
        # Promise 3: no hold after the restore has a number that somebody from before may still show.
        claims = system.query("SELECT batch_id::text, fence FROM witness.claim WHERE at > %s", [lost_at])
        again = [row for row in claims if row.batch_id in given]
        assert again, "no batch was open at the backup"
        assert [row for row in again if row.fence <= given[row.batch_id]] == []
    assert find_processes(home) == []
    assert "1 dataset, 1 job" in run_local(home, "backup", str(tmp_path / "at rest.dump"))
