"""FAULTS 17: two reconcilers for a whole run; one or the other is frozen, also within a transaction, or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local.process import Command, start_tethered
from shared.database.engine import STALLED_SECONDS
from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import QUICK, ROOT, Role, RunningSystem, wait_until

BLOWS = 8
LOGS = ("reconciler", "reconciler-2")
GRACE_SECONDS = 5.0
CLOSE_GATE = "SELECT pg_advisory_xact_lock(734603, hashtext(%(job_id)s))"
# The reconciler that has the job's lock and waits at the job's gate; later, the one that sleeps in its transaction.
ACTING = """
SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND classid = 734601 AND granted AND wait_event_type = 'Lock'
"""
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE pid = %(pid)s AND state = 'idle in transaction'"
GONE = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %(pid)s"
# Each tick that was taken twice would show here: as a number twice, as prompts given out twice, or as batches too many.
CELLS = """
SELECT batch.domain, batch.difficulty, count(*) AS batches, count(DISTINCT number) AS numbers, max(number) AS newest,
    count(DISTINCT first_ordinal) AS beginnings, sum(calls) AS prompts, max(first_ordinal + calls) AS prompts_end,
    sum(admitted) AS admitted, max(questions) AS largest, min(target) AS target
FROM batch JOIN job_cell USING (job_id, domain, difficulty) WHERE job_id = %(job_id)s
GROUP BY batch.domain, batch.difficulty
"""
CLAIMED_AGAIN = """
SELECT batch_id, count(*) FROM witness.claim JOIN batch ON batch.id = claim.batch_id
WHERE job_id = %(job_id)s GROUP BY batch_id HAVING count(*) > 1
"""
UNSELECT_ONE = """
UPDATE question SET state = 'reserve' WHERE id = (
    SELECT id FROM question WHERE job_id = %(job_id)s AND state = 'selected' ORDER BY id LIMIT 1) RETURNING id
"""


class SecondReconciler:
    """One more reconciler beside the supervisor's, which the test keeps alive."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        """Start it unless it runs, and wait until there are two."""
        wait_until(self._are_two, "two reconcilers")

    def _are_two(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            addresses = self._system.addresses
            told = {"DATABASE_URL": addresses.database_url, "REDIS_URL": addresses.redis_url}
            environment = os.environ | QUICK | addresses.worker | told | {"QUESTMILL_HOME": str(self._system.home)}
            command = Command([sys.executable, "-m", "workers.reconciler"], environment=environment, folder=ROOT)
            self._process = start_tethered(command, self._system.home / "logs/reconciler-2.log")
        return len(self._system.processes(Role.RECONCILER)) == 2

    def stop(self) -> None:
        """End it; one that has only just begun knows no signals yet."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(30) in {0, -signal.SIGTERM}


@contextmanager
def second_reconciler(system: RunningSystem) -> Iterator[SecondReconciler]:
    """A second reconciler for the time of the block."""
    second = SecondReconciler(system)
    second.keep()
    try:
        yield second
    finally:
        second.stop()


@contextmanager
def short_of_questions(system: RunningSystem) -> Iterator[None]:
    """Models that refuse now and then for the time of the block, so that there are batches to make up to the end."""
    system.rehearse("faults", shares={"refusal": 0.3})
    try:
        yield
    finally:
        system.rehearse("faults", shares="none")


def run_two_reconcilers(strikes: Strikes, blows: int = BLOWS) -> None:
    """The scenario: two reconcilers from the first batch to the last, one of them struck at random moments."""
    system = strikes.system
    with second_reconciler(system) as second, short_of_questions(system):
        job_id = submit(system, "two", questions=60 * blows)
        for number in range(blows):
            wait_for_admitted(system, job_id, 20 + 40 * number)
            time.sleep(strikes.random.uniform(0, 0.5))
            if strikes.random.random() < 0.4:
                strikes.kill_reconciler()
                second.keep()
            else:
                with strikes.stopped(strikes.pick(Role.RECONCILER)):
                    strikes.count(17, "reconcilers frozen")
                    time.sleep(strikes.random.uniform(0, 2))
        wait_for_end(system, job_id)
    # Behind the lock the schema refuses a number twice; who runs into that had no lock.
    assert [name for name in LOGS if "job not reconciled" in system.log_of(name)] == []
    check_no_double(strikes, job_id)


def freeze_within_transaction(strikes: Strikes) -> None:
    """The scenario: one falls asleep with the job's lock in its hand; the other takes over when Postgres ends that."""
    system = strikes.system
    with second_reconciler(system):
        job_id = submit(system, "asleep", questions=360)
        wait_for_admitted(system, job_id, 20)
        victim, other = strikes.random.sample(sorted(system.wait_for_processes(Role.RECONCILER, 2)), 2)
        with strikes.stopped(other), system.database() as conn, conn.transaction():
            # Something is to be done: a question to be selected again. Whoever acts on the job has its lock by then and
            # waits here; that can only be the victim.
            conn.execute(CLOSE_GATE, {"job_id": job_id})
            assert system.query(UNSELECT_ONE, {"job_id": job_id})
            [acting] = wait_until(lambda: system.query(ACTING), "a reconciler that acts")
            os.kill(victim, signal.SIGSTOP)
        try:
            backend = {"pid": acting.pid}
            wait_until(lambda: system.value(ASLEEP, backend), "its transaction to stand still")
            strikes.count(17, "reconcilers frozen in a transaction")
            began = time.monotonic()
            wait_until(lambda: system.value(GONE, backend), "its end", seconds=STALLED_SECONDS + GRACE_SECONDS)
            blocked = time.monotonic() - began
            wait_for_end(system, job_id)
        finally:
            os.kill(victim, signal.SIGCONT)
        time.sleep(1)
        assert set(system.processes(Role.RECONCILER)) == {victim, other}, "it died of its sleep"
    strikes.tally.notes.append(f"a reconciler frozen with a job's lock kept the other from it for {blocked:.0f} s")
    check_no_double(strikes, job_id)


def check_no_double(strikes: Strikes, job_id: str) -> None:
    """Every batch was made once, hinted as often as you like and run once; and the law."""
    system = strikes.system
    for cell in system.query(CELLS, {"job_id": job_id}):
        assert cell.batches == cell.numbers == cell.newest == cell.beginnings, cell
        assert cell.prompts == cell.prompts_end, cell
        # What a cell brings beyond its target, less than one batch brings, is kept in reserve.
        assert cell.admitted < cell.target + cell.largest, cell
    assert system.query(CLAIMED_AGAIN, {"job_id": job_id}) == []
    # No worker was struck: not one paid reply may be wasted.
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid


@pytest.mark.long
@pytest.mark.fault(17)
def test_two_reconcilers_do_nothing_twice(strikes: Strikes) -> None:
    run_two_reconcilers(strikes)


@pytest.mark.long
@pytest.mark.fault(17)
def test_a_reconciler_frozen_within_a_transaction_is_replaced(strikes: Strikes) -> None:
    freeze_within_transaction(strikes)
