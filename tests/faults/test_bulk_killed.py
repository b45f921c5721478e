"""FAULTS 1, in bulk: SIGKILL of the workers, of which one keeps the bulk submissions, at random moments and at the one
between a submission and its id.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import psycopg
import pytest

from shared.llm.prices import price_of
from shared.llm.provider import Usage
from tests.faults.invariant import check_invariant, prompt_of
from tests.faults.jobs import QUIET_SECONDS, progress_of, submit, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import Role, RunningSystem, running_system, wait_until
from tests.faults.tally import Tally

KILLS = 10
# Between two random moments at most so long; a submission takes two seconds.
APART_SECONDS = 3.0
MODELS = {
    "generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"},
    "validate": {"easy": "anthropic/claude-haiku-5-5", "hard": "openai/gpt-6-luna"},
    "answer": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-haiku-5-5"},
}
# The provider has taken the submission, and its id is about to be written: that waits for who holds this lock.
GATE = 734_699
CLOSE = f"""
CREATE FUNCTION witness.wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END $$;
CREATE TRIGGER witness_gate BEFORE UPDATE ON bulk_submission FOR EACH ROW
    WHEN (OLD.state = 'intended' AND NEW.state = 'submitted' AND NEW.provider = '%s')
    EXECUTE FUNCTION witness.wait_at_gate();
"""
OPEN = "DROP TRIGGER witness_gate ON bulk_submission; DROP FUNCTION witness.wait_at_gate();"
AT_GATE = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
LOST = """
SELECT id, provider FROM bulk_submission
WHERE job_id = %(job)s AND state = 'intended' AND attempted_at IS NOT NULL AND provider_id IS NULL
"""


@dataclass(slots=True)
class Found:
    """What came of the jobs of a run, added up."""

    jobs: int = 0
    calls: int = 0
    submissions: int = 0
    withdrawn: int = 0
    spent_usd: Decimal = field(default_factory=Decimal)


def submit_in_bulk(system: RunningSystem, **changes: Any) -> str:
    """A job of all three stages and four cells, on both providers."""
    return submit(
        system,
        "bulk",
        **{
            "questions": 240,
            "stages": ["generate", "validate", "answer"],
            "mode": "bulk",
            "models": MODELS,
            **changes,
        },
    )


def kill_at_random(strikes: Strikes, job_id: str, kills: int) -> int:
    """SIGKILL one worker after the other until the job ends; returns how many."""
    system = strikes.system
    for number in range(kills):
        workers = sorted(wait_until(lambda: _ready_workers(system, 2), "two workers"))
        time.sleep(strikes.random.uniform(0, APART_SECONDS))
        if progress_of(system, job_id).state != "running":
            return number
        _kill(system, strikes.random.choice(workers))
        strikes.count(1, "workers killed in bulk mode")
    return kills


def _kill(system: RunningSystem, worker: int) -> None:
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker not in system.processes(Role.WORKER), "a killed worker's end")


def _ready_workers(system: RunningSystem, count: int) -> list[int] | None:
    ready = [pid for pid in system.processes(Role.WORKER) if system.is_ready(pid)]
    return ready if len(ready) >= count else None


def kill_between_submission_and_id(strikes: Strikes, provider: str) -> str:
    """SIGKILL of all workers when a submission was taken and its id is not written yet; returns the job's id."""
    system = strikes.system
    wait_until(lambda: _ready_workers(system, 2), "two workers")
    with _closed_gate(system, provider):
        job_id = submit_in_bulk(system)
        wait_until(lambda: system.query(AT_GATE), "a submission whose id is about to be written")
        for pid in system.processes(Role.WORKER):
            os.kill(pid, signal.SIGKILL)
        strikes.count(1, "workers killed between a submission and its id")
        with system.database() as conn:
            conn.execute(f"SELECT pg_terminate_backend(pid) FROM ({AT_GATE}) AS at_gate".encode())
    # Several cells may have been at the gate at once, and others on their way to the provider, who never saw them.
    lost = [row.id for row in system.query(LOST, {"job": job_id}) if row.provider == provider]
    wait_for_end(system, job_id)
    listed = {custom_id for each in submissions_taken(system) for custom_id in each["requests"]}
    calls = system.query("SELECT id, submission_id FROM call WHERE submission_id = ANY (%(ids)s)", {"ids": lost})
    taken = {row.submission_id for row in calls if str(row.id) in listed}
    assert taken
    ends = system.query("SELECT id, state, attempts FROM bulk_submission WHERE id = ANY (%(ids)s)", {"ids": lost})
    assert {(row.state, row.attempts) for row in ends if row.id in taken} == {("ended", 1)}, "not all were found again"
    assert {row.state for row in ends if row.id not in taken} <= {"withdrawn"}
    strikes.tally.effects["bulk submissions found again"] += len(taken)
    return job_id


def submissions_taken(system: RunningSystem) -> list[dict[str, Any]]:
    """What the providers were handed in bulk, each with its requests by custom id."""
    base = system.addresses.worker["ANTHROPIC_BASE_URL"]
    taken: list[dict[str, Any]] = httpx2.get(f"{base}/rehearsal/bulk").json()["submissions"]
    return taken


@contextmanager
def _closed_gate(system: RunningSystem, provider: str) -> Iterator[None]:
    url = system.addresses.database_url
    with psycopg.Connection[Any].connect(url, autocommit=True) as guard:
        guard.execute(f"SELECT pg_advisory_lock({GATE})".encode())
        guard.execute((CLOSE % provider).encode())
        yield
        guard.execute(OPEN.encode())


def check_bulk(system: RunningSystem, job_id: str, found: Found) -> None:
    """The law, and what bulk mode adds: nothing handed in twice, every prompt answered once, all at half price."""
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    assert (findings.wasted, findings.paid_twice) == (0, 0)
    calls = {str(row.id): row for row in system.query("SELECT * FROM call WHERE job_id = %(job)s", {"job": job_id})}
    listed = [each for each in submissions_taken(system) if calls.keys() & each["requests"].keys()]
    handed_in = Counter(custom_id for each in listed for custom_id in each["requests"])
    assert [custom_id for custom_id, count in handed_in.items() if count > 1] == [], "handed in twice"
    assert {call_id for call_id, row in calls.items() if row.state == "ok"} <= handed_in.keys()
    answered = Counter(prompt_of(row) for row in calls.values() if row.state == "ok")
    assert [prompt for prompt, count in answered.items() if count > 1] == [], "answered twice"
    half = Decimal(0)
    for row in calls.values():
        assert row.submission_id is not None
        if row.input_tokens is None:
            assert row.cost_usd == 0, (row.outcome, row.detail)
            continue
        usage = Usage(row.input_tokens, row.output_tokens, row.cached_tokens or 0)
        assert row.cost_usd * 2 - price_of(row.model, usage, {}) in {Decimal(0), Decimal("1e-12")}
        half += row.cost_usd
    spent = system.value("SELECT spent_usd FROM job_budget WHERE job_id = %(job)s", {"job": job_id})
    assert spent == half
    states = Counter(
        row.state for row in system.query("SELECT state FROM bulk_submission WHERE job_id = %(job)s", {"job": job_id})
    )
    assert states.keys() <= {"ended", "withdrawn"}
    assert len(listed) == states["ended"]
    found.jobs += 1
    found.calls += len(handed_in)
    found.submissions += len(listed)
    found.withdrawn += states["withdrawn"]
    found.spent_usd += spent


@pytest.mark.fault(1)
@pytest.mark.long
def test_bulk_jobs_survive_kills_at_random_moments_and_between_submission_and_id(tmp_path: Path, tally: Tally) -> None:
    with running_system(tmp_path / "home", settings={}) as system:
        strikes, found = Strikes(system, Random(f"{tally.seed}/bulk"), tally), Found()
        system.rehearse("bulk", seconds=2)
        kills = 0
        while kills < KILLS:
            job_id = submit_in_bulk(system)
            kills += kill_at_random(strikes, job_id, KILLS - kills)
            wait_for_end(system, job_id, quiet_seconds=QUIET_SECONDS)
            check_bulk(system, job_id, found)
        system.rehearse("bulk", seconds=0.5)
        for provider in ("openai", "anthropic"):
            check_bulk(system, kill_between_submission_and_id(strikes, provider), found)
        tally.notes.append(
            f"bulk mode: {kills} kills at random moments and 2 between a submission and its id; {found.jobs} jobs, "
            f"{found.calls:,} calls in {found.submissions} submissions, none twice, {found.withdrawn} intents made "
            f"anew; ${found.spent_usd:.6f}, all at half price"
        )
