"""FAULTS 14: the model yields nothing new any more."""

import json
from math import ceil
from typing import Any

import pytest

from local.rehearsal.pools import CONTENT_SHARE, DEFAULT_POOL_SIZE
from shared.jobs.decide import MOST_BATCHES_AHEAD
from shared.jobs.decide_later import CALLS_PER_BATCH
from shared.jobs.evidence import EVIDENCE_CALLS, EVIDENCE_CANDIDATES, LEAST_YIELD
from tests.faults.invariant import check_invariant
from tests.faults.jobs import make_spec, progress_of, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import RunningSystem

TARGET = 200
# A small pool has hardly more than two questions for a prompt.
PER_CALL = 40
CALLS = """
SELECT domain, count(*) AS calls, count(DISTINCT (batch_id, ordinal)) AS prompts FROM call
JOIN batch ON batch.id = call.batch_id WHERE call.job_id = %(job_id)s GROUP BY domain
"""
STOPPED = "SELECT domain, stopped FROM job_cell WHERE job_id = %(job_id)s"
COUNT = """
SELECT count(*) FROM question JOIN dataset ON dataset.id = question.dataset_id
WHERE dataset.name = %(dataset)s AND state = 'selected'
"""


def most_calls(target: int) -> int:
    """What a cell whose model runs dry may cost at most, in calls.

    While it is not dry, each window of evidence brings its least share of new questions, of which there are fewer than
    the target; then one window that brings less; then whatever was asked for already, at the least yield.
    """
    window = ceil(max(EVIDENCE_CALLS, EVIDENCE_CANDIDATES / PER_CALL) / CALLS_PER_BATCH + 1) * CALLS_PER_BATCH
    useful = ceil(target / (LEAST_YIELD * PER_CALL))
    ahead = min(ceil(target / LEAST_YIELD / PER_CALL), MOST_BATCHES_AHEAD * CALLS_PER_BATCH)
    return useful + window + ahead


def run_dry(strikes: Strikes) -> None:
    """The scenario: a model that knows a handful of questions per topic; more new ones once it has learnt some."""
    system = strikes.system
    spec = make_dry_spec()
    system.rehearse("pools", size=1, content_share=0)
    system.rehearse("latency", seconds=0.1)
    try:
        job_id = str(system.client.submit(spec)["id"])
        strikes.count(14, "models run dry")
        row = wait_for_end(system, job_id)
        assert row.state == "failed", f"the job is {row.state}"
        check_stopped(strikes, job_id, row.reason)
    finally:
        system.rehearse("pools", size=DEFAULT_POOL_SIZE, content_share=CONTENT_SHARE)
        system.rehearse("latency", seconds=0.5)
    findings = check_invariant(system.addresses.database_url, system.record, job_id, state="failed")
    strikes.tally.effects["paid calls"] += findings.paid

    admitted = progress_of(system, job_id).admitted
    lines = export(system, spec["dataset"])
    assert len(lines) == system.value(COUNT, {"dataset": spec["dataset"]}) == admitted > 0
    assert len({line["question"] for line in lines}) == len(lines)

    # The dataset is free, and what it holds counts: a fresh model brings the rest.
    again = str(system.client.submit(spec)["id"])
    wait_for_end(system, again)
    check_invariant(system.addresses.database_url, system.record, again)
    assert progress_of(system, again).admitted >= 2 * TARGET - admitted


def make_dry_spec() -> dict[str, Any]:
    """Two cells, each of more questions than a small pool holds."""
    return make_spec(
        "dry",
        mix={
            "domains": {"general": TARGET, "math": TARGET},
            "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}},
        },
        models={"generate": {"easy": "openai/gpt-6-luna"}},
        questions_per_call={"easy": PER_CALL},
    )


def check_stopped(strikes: Strikes, job_id: str, reason: str) -> None:
    """Both cells are named with their reason, and none took more calls than it may."""
    system = strikes.system
    assert reason.startswith("2 cell(s) could not be filled: ")
    stopped = {row.domain: row.stopped for row in system.query(STOPPED, {"job_id": job_id})}
    assert set(stopped) == {"general", "math"}
    for domain, why in stopped.items():
        assert "the model yields nothing new" in why
        assert f"{domain}/easy" in reason
        assert why in reason
    for row in system.query(CALLS, {"job_id": job_id}):
        assert row.calls == row.prompts, "a prompt was sent twice"
        assert row.calls <= most_calls(TARGET)
        strikes.tally.notes.append(f"a dry cell ({row.domain}) took {row.calls} calls, at most {most_calls(TARGET)}")


def export(system: RunningSystem, dataset: str) -> list[dict[str, object]]:
    """The lines of an export."""
    path = system.home / f"{dataset}.jsonl"
    system.client.export(dataset, "jsonl", path)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.long
@pytest.mark.fault(14)
def test_a_job_whose_model_runs_dry_fails_soon_and_names_its_cells(strikes: Strikes) -> None:
    run_dry(strikes)
