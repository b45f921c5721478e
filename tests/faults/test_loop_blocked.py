"""A worker whose event loop is blocked is noticed, says where, and is replaced; the job ends all the same."""

from pathlib import Path
from random import Random

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_end
from tests.faults.mutants import Edit, Mutant, plant
from tests.faults.strikes import Strikes
from tests.faults.system import Role, running_system, wait_until
from tests.faults.tally import Tally

BLOCKING = Mutant(
    "the first reply blocks the loop for good",
    1,
    (
        Edit(
            "workers/generation.py",
            "        candidates, parsed = read_candidates(\n",
            "        import os, pathlib, time\n"
            '        flag = pathlib.Path(os.environ["QUESTMILL_HOME"]) / "blocked"\n'
            "        if not flag.exists():\n"
            "            flag.touch()\n"
            "            time.sleep(1000)\n"
            "        candidates, parsed = read_candidates(\n",
        ),
    ),
    "",
)
SETTINGS = {"QUESTMILL_STALL_SECONDS": "4", "QUESTMILL_CALLS_IN_FLIGHT": "6", "QUESTMILL_REHEARSAL_LATENCY": "0.5"}


@pytest.mark.long
def test_a_worker_with_a_blocked_loop_says_where_and_is_replaced(tmp_path: Path, tally: Tally) -> None:
    source = plant(BLOCKING, tmp_path / "source")
    with running_system(tmp_path / "home", settings=SETTINGS, source=source) as system:
        strikes = Strikes(system, Random(tally.seed), tally)
        job_id = submit(system, "blocked", questions=120)
        wait_until((system.home / "blocked").exists, "the block")
        in_flight = sum(map(strikes.under_way, system.processes(Role.WORKER)))
        wait_until(lambda: "ended with 70; it starts again" in system.log, "the worker's end")
        logs = "".join(path.read_text() for path in (system.home / "logs").glob("worker-*.log"))
        assert "in judge" in logs, "it did not say where"
        wait_for_end(system, job_id)
        check_invariant(system.addresses.database_url, system.record, job_id, in_flight=in_flight)
    tally.effects["blocked loops"] += 1
