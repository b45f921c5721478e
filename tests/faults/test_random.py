"""The random mode: faults drawn for `--minutes N` over one job after another, two at a time now and then."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from cli.client import ApiProblem
from tests.faults.invariant import check_invariant
from tests.faults.jobs import progress_of, submit_patiently, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import LEASE_SECONDS, Role, RunningSystem
from tests.faults.tally import Tally

pytestmark = pytest.mark.long

LONGEST_PAUSE_SECONDS = 4.0
TWO_AT_ONCE = 0.25
# A fault ends before the next one; so long a job may take from the last fault on.
MOST_FAULTS_PER_JOB = 12
STORM = {"429": 0.2, "500": 0.1, "529": 0.1, "reset": 0.05, "empty": 0.05, "cut": 0.1, "broken": 0.1, "refusal": 0.02}
UNFINISHED = {"running", "paused"}
# Right after a cancel: what is in flight, or waits in the ledger to be read, is paid and read no more.
UNREAD = "SELECT count(*) FROM call WHERE job_id = %(job_id)s AND parsed_at IS NULL AND state IN ('sent', 'ok')"


class Chaos:
    """Draws faults against one system. Every choice comes from `random`."""

    def __init__(self, strikes: Strikes) -> None:
        self.strikes = strikes
        self.system = strikes.system
        self.random = strikes.random
        self.job_id = ""
        self.faults: list[Callable[[], object]] = [
            lambda: strikes.kill_worker(strikes.pick(Role.WORKER)),
            lambda: strikes.kill_worker(strikes.pick(Role.WORKER)),
            self.stall_worker,
            lambda: strikes.terminate_worker(strikes.pick(Role.WORKER)),
            lambda: strikes.strike_postgres(signal.SIGQUIT),
            lambda: strikes.strike_postgres(signal.SIGKILL),
            strikes.kill_redis,
            strikes.flush_redis,
            self.freeze_redis,
            strikes.kill_api,
            strikes.kill_reconciler,
            lambda: strikes.cut_at_commit(seconds=self.random.uniform(0.3, 1.5)),
            strikes.cut_anywhere,
            self.storm,
            self.pause_and_resume,
        ]

    def strike(self) -> None:
        """One fault, or one within another."""
        fault = self.random.choice(self.faults)
        # A worker may have gone by itself just when it was to be struck.
        with suppress(ProcessLookupError):
            if self.random.random() < TWO_AT_ONCE:
                self.random.choice(self.faults)()
            fault()

    def stall_worker(self) -> None:
        with self.strikes.stalled_worker(self.strikes.pick(Role.WORKER)):
            time.sleep(self.random.uniform(0.5, 2.5) * LEASE_SECONDS)

    def freeze_redis(self) -> None:
        with self.strikes.frozen_redis():
            time.sleep(self.random.uniform(1, 6))

    def storm(self) -> None:
        self.system.rehearse("faults", shares=STORM, retry_after_seconds=1)
        try:
            time.sleep(self.random.uniform(1, 5))
        finally:
            self.system.rehearse("faults", shares="none")
        self.strikes.tally.injected[13] += 1
        self.strikes.tally.effects["storms of the model server"] += 1

    def pause_and_resume(self) -> None:
        # The API may be away, or the job may have ended: both are answers.
        with suppress(ApiProblem):
            self.system.client.pause(self.job_id)
            time.sleep(self.random.uniform(0, 2))
        while progress_of(self.system, self.job_id).state == "paused":
            with suppress(ApiProblem):
                self.system.client.resume(self.job_id)
            time.sleep(0.2)
        self.strikes.tally.effects["pauses"] += 1


def run_one_job(system: RunningSystem, random: Random, tally: Tally, number: int) -> None:
    """A job under faults, and the law at its end."""
    strikes = Strikes(system, random, tally)
    chaos = Chaos(strikes)
    chaos.job_id = submit_patiently(system, f"chaos-{number}", questions=random.randrange(200, 500))
    for _ in range(random.randint(3, MOST_FAULTS_PER_JOB)):
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
        if progress_of(system, chaos.job_id).state not in UNFINISHED:
            break
        chaos.strike()
    state = "succeeded"
    if random.random() < 0.1 and progress_of(system, chaos.job_id).state in UNFINISHED:
        with suppress(ApiProblem):
            system.client.cancel(chaos.job_id)
            tally.injected[8] += 1
            strikes.in_flight += system.value(UNREAD, {"job_id": chaos.job_id})
            state = "cancelled"
    ended = wait_for_end(system, chaos.job_id)
    if state == "cancelled":
        time.sleep(LEASE_SECONDS)
    findings = check_invariant(
        system.addresses.database_url,
        system.record,
        chaos.job_id,
        in_flight=strikes.in_flight,
        state=ended.state if state == "cancelled" else "succeeded",
    )
    tally.effects["jobs"] += 1
    tally.effects["paid calls"] += findings.paid
    tally.effects["wasted calls"] += findings.wasted
    tally.effects["prompts paid twice"] += findings.paid_twice


def test_jobs_survive_whatever_is_drawn(
    system: RunningSystem, tally: Tally, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(f"{tally.seed}/random")
    until = time.monotonic() + 60 * pytestconfig.getoption("--minutes")
    number = 0
    while time.monotonic() < until:
        number += 1
        run_one_job(system, random, tally, number)
        with capsys.disabled():
            left = max(0.0, until - time.monotonic())
            print(f"job {number} kept the law; {sum(tally.injected.values())} faults so far, {left / 60:.1f} min to go")
    tally.effects["fenced-off writes"] += system.value("SELECT count(*) FROM incident WHERE kind = 'fenced_off'")
    tally.effects["leases expired"] += system.value("SELECT count(*) FROM incident WHERE kind = 'lease_expired'")
