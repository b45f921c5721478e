"""The schema of the next release comes in mid-job, under workers, a reconciler and an API of this one."""

import os
import shutil
import signal
import time
from pathlib import Path
from random import Random

import pytest

from shared.database.schema import ROOT, Standing, look_at, read_steps, upgrade
from shared.database.tables import metadata
from tests.faults.invariant import check_invariant
from tests.faults.jobs import progress_of, submit, wait_for_admitted, wait_for_end
from tests.faults.system import Role, running_system, wait_until
from tests.faults.tally import Tally

SLOW = {"QUESTMILL_CALLS_IN_FLIGHT": "6", "QUESTMILL_REHEARSAL_LATENCY": "0.5"}
WORKERS = 2
DRAIN_SECONDS = 8.0

# All that a step which expands may do, to every table.
NEXT = '''"""the next release"""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"


def upgrade() -> None:
    op.execute("LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE")
    for table in {tables}:
        op.add_column(table, sa.Column("next_nullable", sa.Text()))
        op.add_column(table, sa.Column("next_counted", sa.Integer(), server_default="0", nullable=False))
        op.create_index(f"ix_next_{{table}}", table, ["next_counted"])
    op.create_table(
        "next_table", sa.Column("job_id", sa.Uuid(), sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    )
'''


def migrations_of_the_next_release(folder: Path) -> Path:
    """Ours with one step more, which touches every table."""
    shutil.copytree(ROOT / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    tables = sorted(metadata.tables)
    step = NEXT.format(before=read_steps()[-1].revision, tables=tables, locked=", ".join(tables))
    (folder / "versions" / "9999_next_release.py").write_text(step)
    return folder


@pytest.mark.long
@pytest.mark.fault(9)
def test_this_release_ends_its_job_exact_under_the_schema_of_the_next(tmp_path: Path, tally: Tally) -> None:
    random = Random(f"{tally.seed}/upgrade")
    migrations = migrations_of_the_next_release(tmp_path / "migrations")
    # Of its own: the others' database keeps the schema of this release.
    with running_system(tmp_path / "home", settings=SLOW) as system:
        url = system.addresses.database_url
        job_id = submit(system, "upgraded", questions=400, questions_per_call={"easy": 2, "hard": 1})
        wait_for_admitted(system, job_id, random.randrange(40, 120))

        began = time.monotonic()
        upgrade(url, migrations)
        tally.notes.append(f"an upgrade under load took {time.monotonic() - began:.2f} s")
        tally.injected[9] += 1
        assert look_at(url).standing is Standing.NEWER
        admitted = progress_of(system, job_id).admitted
        assert progress_of(system, job_id).state == "running", "too late for an upgrade in mid-job"

        # One that comes new meets the schema of the next release from its start.
        [pid, *_] = system.wait_for_processes(Role.WORKER, WORKERS)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: pid not in system.processes(Role.WORKER), "the worker's end", seconds=DRAIN_SECONDS)
        wait_for_end(system, job_id)
        tally.effects["admitted under the next release's schema"] += 400 - admitted
        findings = check_invariant(url, system.record, job_id)
    tally.effects["paid calls"] += findings.paid
