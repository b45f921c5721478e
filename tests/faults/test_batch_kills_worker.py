"""FAULTS 7: a batch that kills its process every time."""

from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import RunningSystem, running_system, wait_until
from tests.faults.tally import Tally

MAX_ATTEMPTS = 3
DEADLY = "SELECT id::text FROM batch WHERE job_id = %(job_id)s ORDER BY number"
STATE = "SELECT state FROM batch WHERE id = %(id)s"
CLAIMS = "SELECT count(*) FROM witness.claim WHERE batch_id = %(id)s"
SUCCESSORS = "SELECT count(*) FROM batch WHERE job_id = %(job_id)s AND number > %(first)s AND state = 'done'"


def kill_whoever_claims(strikes: Strikes, *, max_attempts: int) -> None:
    """The scenario: one batch's every holder dies before a call of it is in; the others' work goes on."""
    system = strikes.system
    over = Event()
    system.rehearse("latency", seconds=3)
    try:
        # Two batches of one cell, both in reach of the same worker.
        job_id = submit_two_batches(system)
        ids = [row.id for row in system.query(DEADLY, {"job_id": job_id})]
        deadly = strikes.random.choice(ids)
        killer = Thread(target=_kill_claimers, args=(strikes, deadly, over))
        killer.start()
        try:
            wait_until(lambda: system.value(STATE, {"id": deadly}) == "parked", "the batch's end", seconds=120)
        finally:
            over.set()
            killer.join()
    finally:
        system.rehearse("latency", seconds=0.3)
    assert system.value(CLAIMS, {"id": deadly}) == max_attempts
    wait_for_end(system, job_id)
    shown = {each["id"]: each for each in system.client.batches(job_id) if each["state"] == "parked"}
    assert shown[deadly]["reason"] == f"claimed {max_attempts} times without one finished call"
    assert shown[deadly]["admitted"] == 0
    assert system.client.job(job_id)["progress"]["batches"]["parked"] == len(shown)
    assert system.value(SUCCESSORS, {"job_id": job_id, "first": len(ids)}) >= 1, "the deficit got no other batch"
    strikes.tally.effects["batches parked"] += len(shown)
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid
    strikes.tally.effects["wasted calls"] += findings.wasted


def submit_two_batches(system: RunningSystem) -> str:
    """A job of one cell."""
    mix = {"domains": {"math": 140}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}}
    models = {"generate": {"easy": "openai/gpt-6-luna"}}
    return submit(system, "deadly", mix=mix, models=models, questions_per_call={"easy": 4})


def _kill_claimers(strikes: Strikes, batch_id: str, over: Event) -> None:
    """SIGKILL each worker that claims the batch, as soon as its claim is committed, until `over`."""
    with strikes.system.database() as conn:
        conn.execute("LISTEN witness_claim")
        while not over.is_set():
            for claim in conn.notifies(timeout=0.1):
                claimed, worker = claim.payload.split(" ")
                if claimed == batch_id:
                    strikes.kill_worker(int(worker.rpartition(":")[2]), fault=7)


@pytest.mark.long
@pytest.mark.fault(7)
def test_a_batch_that_kills_its_process_is_parked(tmp_path: Path, tally: Tally) -> None:
    settings = {
        "QUESTMILL_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
        "QUESTMILL_LEASE_SECONDS": "2",
        "QUESTMILL_CALLS_IN_FLIGHT": "6",
    }
    with running_system(tmp_path / "home", settings=settings) as system:
        strikes = Strikes(system, Random(f"{tally.seed}/deadly batch"), tally)
        kill_whoever_claims(strikes, max_attempts=MAX_ATTEMPTS)
