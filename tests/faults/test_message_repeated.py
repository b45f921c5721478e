"""FAULTS 6: the same message is delivered five times at once."""

import re

import pytest
from celery import Celery

from tests.faults.invariant import check_invariant
from tests.faults.jobs import submit, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import Role, RunningSystem, wait_until
from workers.batch import Ending

COPIES = 5
OPEN = "SELECT id::text FROM batch WHERE job_id = %(job_id)s AND state = 'pending' ORDER BY id"
CLAIMS = """
SELECT batch.id::text, count(claim.batch_id) AS claims FROM batch LEFT JOIN witness.claim ON claim.batch_id = batch.id
WHERE batch.id = ANY (%(ids)s) GROUP BY batch.id
"""
# Celery's own line about the end of a task; our tasks return how they ended.
ENDED = re.compile(r"Task questmill\.generate\[copy-(?P<batch>[0-9a-f-]{36})-\d\] succeeded in \S+ '(?P<ending>[^']+)'")


def repeat_messages(strikes: Strikes) -> None:
    """The scenario: nobody publishes but we, each batch five times at once; one copy runs, four are no-ops."""
    system = strikes.system
    with strikes.stopped(strikes.pick(Role.RECONCILER)):
        job_id = submit(system, "repeated", questions=48)
        ids = [row.id for row in system.query(OPEN, {"job_id": job_id})]
        copies = [(each, number) for each in ids for number in range(COPIES)]
        strikes.random.shuffle(copies)
        _publish(system, copies)
        strikes.count(6, "repeated messages", (COPIES - 1) * len(ids))
        endings = wait_until(lambda: _endings(system, ids, len(copies)), "every copy's end", seconds=20)
        claims = {row.id: row.claims for row in system.query(CLAIMS, {"ids": ids})}
        assert claims == dict.fromkeys(ids, 1), "a batch was claimed by several copies"
        once = sorted([Ending.DONE, *[Ending.NOT_FREE] * (COPIES - 1)])
        assert {each: sorted(endings[each]) for each in ids} == dict.fromkeys(ids, once)
    wait_for_end(system, job_id)
    findings = check_invariant(system.addresses.database_url, system.record, job_id)
    strikes.tally.effects["paid calls"] += findings.paid


def _publish(system: RunningSystem, copies: list[tuple[str, int]]) -> None:
    with Celery("copies", broker=system.addresses.redis_url, set_as_current=False) as app:
        app.conf.task_default_queue = "questmill"
        for batch_id, number in copies:
            app.send_task("questmill.generate", args=(batch_id,), task_id=f"copy-{batch_id}-{number}", retry=False)


def _endings(system: RunningSystem, ids: list[str], count: int) -> dict[str, list[str]] | None:
    """How each copy ended by batch, once all have."""
    endings: dict[str, list[str]] = {each: [] for each in ids}
    for name in ("worker-1", "worker-2"):
        for line in ENDED.finditer(system.log_of(name)):
            if line["batch"] in endings:
                endings[line["batch"]].append(line["ending"])
    return endings if sum(map(len, endings.values())) == count else None


@pytest.mark.fault(6)
def test_of_five_copies_of_a_message_one_runs(strikes: Strikes) -> None:
    repeat_messages(strikes)
