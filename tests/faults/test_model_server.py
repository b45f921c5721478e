"""FAULTS 13: what the model server does to calls: the right retry or the right stop for each, and all counted."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.faults.invariant import OUTCOMES, check_invariant
from tests.faults.jobs import progress_of, submit, wait_for_admitted, wait_for_end, wait_for_state
from tests.faults.strikes import Strikes
from tests.faults.system import TICK_SECONDS, RunningSystem, running_system, wait_until
from tests.faults.tally import Tally

# Each at least once, and a share of them besides.
MIX = {
    "429": 0.02, "500": 0.03, "529": 0.01, "timeout": 0.01, "reset": 0.03, "empty": 0.03, "cut": 0.04, "broken": 0.05,
    "latex": 0.05, "refusal": 0.03, "filter": 0.03,
}  # fmt: skip
RETRY_AFTER_SECONDS = 3
ON_ITS_WAY_SECONDS = 0.5
MENDS_BROKEN = {"trailing comma", "code fence", "prose around", "single quotes"}
MENDS_LATEX = {"latex escape", "invalid escape"}
CALLS = "SELECT id::text FROM call WHERE job_id = %(job_id)s"
UNSETTLED = "SELECT count(*) FROM call WHERE job_id = %(job_id)s AND state = 'sent'"
REFUSED_CANDIDATES = """
SELECT reason, count(*) AS n FROM rejection JOIN call ON call.id = rejection.call_id
WHERE call.job_id = %(job_id)s GROUP BY reason
"""
# Sent again although the same prompt would end the same way.
SENT_IN_VAIN = """
SELECT again.id FROM call JOIN call AS again
    ON again.batch_id = call.batch_id AND again.ordinal = call.ordinal AND again.attempt > call.attempt
WHERE call.job_id = %(job_id)s AND call.outcome IN ('refused', 'bad_request')
"""
# Worth another try, but neither tried again nor given up.
FORGOTTEN = """
SELECT id FROM call WHERE job_id = %(job_id)s AND parsed_at IS NULL AND NOT EXISTS (
    SELECT FROM call AS again WHERE again.batch_id = call.batch_id AND again.ordinal = call.ordinal
    AND again.attempt > call.attempt)
"""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system whose calls time out soon."""
    settings = {
        "QUESTMILL_CALLS_IN_FLIGHT": "12",
        "QUESTMILL_REHEARSAL_LATENCY": "0.2",
        "QUESTMILL_CALL_TIMEOUT_SECONDS": "3",
    }
    with running_system(tmp_path_factory.mktemp("impatient"), settings=settings) as system:
        yield system


@pytest.fixture
def strikes(impatient: RunningSystem, tally: Tally, request: pytest.FixtureRequest) -> Strikes:
    return Strikes(impatient, Random(f"{tally.seed}/{request.node.name}"), tally)


def meet_every_fault(strikes: Strikes) -> None:
    """The scenario: all faults mixed; the job ends exact and its counts are the server's."""
    system = strikes.system
    certain = [*MIX, *MIX]
    strikes.random.shuffle(certain)
    system.rehearse("faults", shares=MIX, next=certain)
    try:
        job_id = submit(system, "mixed")
        wait_for_end(system, job_id)
    finally:
        system.rehearse("faults", shares="none", next=[])
    served = _served(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    _count(strikes, served, findings.paid)
    assert set(MIX) <= set(served)

    progress = system.client.job(job_id)["progress"]
    counted = progress["calls"]["outcomes"]
    for names in {frozenset(names) for names in OUTCOMES.values() if names != {"ok", "timeout"}}:
        expected = sum(count for outcome, count in served.items() if OUTCOMES[outcome] == names)
        assert sum(counted.get(name, 0) for name in names) == expected, names
    assert sum(counted.values()) == sum(served.values()) == progress["calls"]["sent"]
    repaired = progress["repaired"]
    assert repaired["cut"] == served["cut"]
    assert sum(repaired.get(name, 0) for name in MENDS_BROKEN) == served["broken"]
    assert sum(repaired.get(name, 0) for name in MENDS_LATEX) >= served["latex"]
    refused = {row.reason: row.n for row in system.query(REFUSED_CANDIDATES, {"job_id": job_id})}
    assert progress["rejected"] == refused
    assert progress["generated"] == progress["admitted"] + sum(refused.values())
    assert system.query(SENT_IN_VAIN, {"job_id": job_id}) == []
    assert system.query(FORGOTTEN, {"job_id": job_id}) == []


def heed_retry_after(strikes: Strikes) -> None:
    """The scenario: every first call of a small job is told to wait; no queue of others would hide an early one."""
    system = strikes.system
    system.rehearse("faults", next=["429"] * 10, retry_after_seconds=RETRY_AFTER_SECONDS)
    try:
        job_id = submit(system, "told-to-wait", questions=24)
        wait_for_end(system, job_id)
    finally:
        system.rehearse("faults", next=[], retry_after_seconds=1)
    entries = _entries(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    _count(strikes, Counter(entry["outcome"] for entry in entries), findings.paid)
    told_at: dict[str, float] = {}
    for entry in entries:
        if entry["outcome"] == "429":
            told_at.setdefault(entry["model"], entry["time"])
    assert told_at
    # Whatever was on its way when the first was told; then no worker sends that model anything.
    early = [
        entry
        for entry in entries
        if (told := told_at.get(entry["model"]))
        and told + ON_ITS_WAY_SECONDS < entry["started"] < told + RETRY_AFTER_SECONDS - 0.01
    ]
    assert early == [], "a call was sent before Retry-After"


def weather_a_storm(strikes: Strikes) -> None:
    """The scenario: a quota far below the demand, of which no header tells."""
    system = strikes.system
    system.rehearse("quotas", requests_per_minute=240, burst_seconds=1, headers=False)
    try:
        job_id = submit(system, "stormy", questions=160)
        wait_for_end(system, job_id)
    finally:
        system.rehearse("quotas", requests_per_minute=30_000, burst_seconds=60, headers=True)
    served = _served(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    _count(strikes, served, findings.paid)
    assert served["429"] >= 2, "no storm"
    assert served["429"] == system.client.job(job_id)["progress"]["calls"]["outcomes"]["rate_limited"]
    assert system.query(FORGOTTEN, {"job_id": job_id}) == []


def use_up_the_quota(strikes: Strikes) -> None:
    """The scenario: the account is empty in mid-run; nothing is sent until a person resumes."""
    system = strikes.system
    job_id = submit(system, "unpaid", questions=720)
    wait_for_admitted(system, job_id, strikes.random.randrange(20, 80))
    system.rehearse("faults", shares={"quota": 1.0})
    try:
        row = wait_for_state(system, job_id, "paused")
        assert row.reason == "the provider says that the account's quota or credit is used up"
        wait_until(lambda: system.value(UNSETTLED, {"job_id": job_id}) == 0, "the calls in flight")
        calls = progress_of(system, job_id).calls
        served = _served(system, job_id)
        time.sleep(3 * TICK_SECONDS)
        assert progress_of(system, job_id).calls == calls, "something was sent while the job was paused"
    finally:
        system.rehearse("faults", shares="none")
    # Those that were under way when the first one was told.
    assert 0 < served["quota"] <= 2 * 12
    system.client.resume(job_id)
    wait_for_end(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    _count(strikes, served, findings.paid)
    assert system.client.job(job_id)["progress"]["calls"]["outcomes"]["quota"] == served["quota"]


def _served(system: RunningSystem, job_id: str) -> Counter[str]:
    return Counter(entry["outcome"] for entry in _entries(system, job_id))


def _entries(system: RunningSystem, job_id: str) -> list[dict[str, Any]]:
    """What the server's record says of the job's calls, once it has all of them."""
    ids = {row.id for row in system.query(CALLS, {"job_id": job_id})}

    def look() -> list[dict[str, Any]] | None:
        entries = [json.loads(line) for line in system.record.read_text().splitlines()]
        mine = [entry for entry in entries if entry["id"] in ids]
        return mine if len(mine) == len(ids) else None

    return wait_until(look, "the server's record", seconds=5)


def _count(strikes: Strikes, served: Counter[str], paid: int) -> None:
    for outcome, count in served.items():
        if outcome != "ok":
            strikes.count(13, f"model server: {outcome}", count)
    strikes.tally.effects["paid calls"] += paid


@pytest.mark.long
@pytest.mark.fault(13)
def test_every_fault_of_the_model_server_is_met_and_counted(strikes: Strikes) -> None:
    meet_every_fault(strikes)


@pytest.mark.long
@pytest.mark.fault(13)
def test_nothing_is_sent_before_retry_after(strikes: Strikes) -> None:
    heed_retry_after(strikes)


@pytest.mark.long
@pytest.mark.fault(13)
def test_a_storm_of_refusals_is_waited_out(strikes: Strikes) -> None:
    weather_a_storm(strikes)


@pytest.mark.long
@pytest.mark.fault(13)
def test_an_empty_account_pauses_the_job(strikes: Strikes) -> None:
    use_up_the_quota(strikes)
