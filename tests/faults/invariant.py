"""What must hold after every run, whatever was done to it meanwhile: the one invariant of the fault suite.

Read from Postgres and the model server's own record of what it served; our own counters are not asked.
`check_invariant` raises AssertionError with what it found.
"""

import json
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row, tuple_row

from shared.corpus.guards import guard_between
from shared.corpus.normalise import normalise
from tests.faults.patience import Patience
from tests.faults.witness import breaches
from tests.recount import COUNTS

Connection = psycopg.Connection[Any]
# From here on 12 bands of 5 find practically every pair (0.9 ** 5 = 0.59 each); between 0.75 and 0.9 they miss a few.
SURELY_NEAR = 0.9
# The record is at most 0.2 s behind the answers (local/rehearsal/record.py).
RECORD_SECONDS = 2.0
# What the ledger may call an answer that the record calls so. A worker that dies may leave any of them as lost.
OUTCOMES = {
    "ok": {"ok"}, "slow": {"ok", "timeout"}, "cut": {"cut", "no_room"}, "broken": {"ok"}, "latex": {"ok"},
    "poor": {"ok"},
    "refusal": {"refused"}, "filter": {"refused"}, "empty": {"empty", "malformed"}, "reset": {"connection"},
    "429": {"rate_limited"}, "500": {"server_error"}, "529": {"overloaded"}, "quota": {"quota"},
    "timeout": {"timeout"},
}  # fmt: skip
READABLE = {"ok", "slow", "cut", "broken", "latex", "poor"}


@dataclass(frozen=True, slots=True)
class Findings:
    """What the check counted: paid calls, those whose reply nobody read, and prompts paid for more than once."""

    paid: int
    wasted: int
    paid_twice: int


def check_invariant(
    database_url: str, record: Path, job_id: str, *, in_flight: int = 0, state: str = "succeeded"
) -> Findings:
    """The whole law for a job that has come to rest in `state`.

    `in_flight`: how many calls were under way in workers at the moments when those were struck.
    """
    with psycopg.Connection[Any].connect(database_url, row_factory=namedtuple_row) as conn:
        _check_state(conn, job_id, state)
        _check_repeats(conn, job_id)
        _check_money(conn, job_id)
        _check_holds(conn, job_id)
        _check_counts(conn, job_id)
        _check_stages(conn, job_id, state)
        _check_sums(conn)
        findings = _check_calls(conn, record, job_id, in_flight)
    with psycopg.Connection[Any].connect(database_url) as conn:
        assert breaches(conn) == []
    return findings


def check_books(database_url: str) -> None:
    """What holds of all jobs once nothing moves, whatever they came to and whatever was deleted or read again."""
    with psycopg.Connection[Any].connect(database_url, row_factory=namedtuple_row) as conn:
        for (job_id,) in conn.execute("SELECT id::text FROM job").fetchall():
            _check_money(conn, job_id)
            _check_holds(conn, job_id)
            _check_counts(conn, job_id)
        _check_sums(conn)
    with psycopg.Connection[Any].connect(database_url) as conn:
        assert breaches(conn) == []


def _check_state(conn: Connection, job_id: str, state: str) -> None:
    [job] = conn.execute("SELECT state, reason FROM job WHERE id = %s", [job_id]).fetchall()
    assert job.state == state, f"the job is {job.state}: {job.reason}"
    cells = conn.execute(
        """SELECT job_cell.domain, job_cell.difficulty, target, (
               SELECT count(*) FROM question WHERE question.dataset_id = job.dataset_id AND state = 'selected'
               AND question.domain = job_cell.domain AND question.difficulty = job_cell.difficulty) AS selected
           FROM job_cell JOIN job ON job.id = job_cell.job_id WHERE job.id = %s""",
        [job_id],
    ).fetchall()
    assert cells
    if state == "succeeded":
        assert [cell for cell in cells if cell.target != cell.selected] == []
    else:
        assert job.reason, f"{state} without a reason"
        assert [cell for cell in cells if cell.selected > cell.target] == []


def _check_repeats(conn: Connection, job_id: str) -> None:
    rows = conn.execute(
        """SELECT question.id, text, question.job_id IS NOT NULL AS made FROM question
           JOIN job ON job.dataset_id = question.dataset_id WHERE job.id = %s ORDER BY question.id""",
        [job_id],
    ).fetchall()
    normalised = [normalise(row.text) for row in rows]
    assert [text for text, count in Counter(normalised).items() if count > 1] == []
    # Independent of the bands: whoever shares a rare 4-gram is compared, pair by pair.
    shingles = [{text[at : at + 4] for at in range(max(1, len(text) - 3))} for text in normalised]
    holders: dict[str, list[int]] = {}
    for place, grams in enumerate(shingles):
        for gram in grams:
            holders.setdefault(gram, []).append(place)
    pairs = {pair for places in holders.values() if len(places) <= 12 for pair in combinations(places, 2)}
    near = [
        (rows[a].text, rows[b].text)
        for a, b in pairs
        if (rows[a].made or rows[b].made)
        and len(shingles[a] & shingles[b]) >= SURELY_NEAR * len(shingles[a] | shingles[b])
        and guard_between(rows[a].text, rows[b].text) is None
    ]
    assert near == []


def _check_money(conn: Connection, job_id: str) -> None:
    [row] = conn.execute(
        """SELECT budget_usd, spent_usd, held_usd,
               (SELECT COALESCE(sum(cost_usd), 0) FROM call WHERE job_id = %(job)s)
                   + COALESCE((SELECT spent_usd FROM job_archive WHERE job_id = %(job)s), 0) AS ledger_usd,
               (SELECT COALESCE(sum(worst_usd), 0) FROM call WHERE job_id = %(job)s AND state = 'sent') AS sent_usd
           FROM job_budget WHERE job_id = %(job)s""",
        {"job": job_id},
    ).fetchall()
    assert row.spent_usd == row.ledger_usd
    assert row.held_usd == row.sent_usd
    assert row.spent_usd + row.held_usd <= row.budget_usd


def _check_holds(conn: Connection, job_id: str) -> None:
    """Every lease is free, nothing is left to do, and whichever worker wrote a question had the batch by a claim."""
    held = conn.execute("SELECT id FROM batch WHERE job_id = %s AND state = 'leased'", [job_id]).fetchall()
    assert held == []
    if conn.execute("SELECT 1 FROM job WHERE id = %s AND state <> 'paused'", [job_id]).fetchone():
        free = conn.execute("SELECT id FROM batch WHERE job_id = %s AND state = 'pending'", [job_id]).fetchall()
        assert free == []
    illegal = conn.execute(
        """SELECT id FROM question WHERE job_id = %s AND NOT EXISTS (
               SELECT FROM witness.claim WHERE claim.batch_id = question.batch_id AND claim.fence = question.fence)
           AND NOT EXISTS (SELECT FROM witness.reread WHERE question_id = question.id)""",
        [job_id],
    ).fetchall()
    assert illegal == []


def _check_counts(conn: Connection, job_id: str) -> None:
    """What a batch says of itself is what its calls, questions and refusals say: nothing took effect twice."""
    wrong = conn.execute(
        """SELECT batch.id, generated, admitted, calls_parsed + calls_given_up AS judged, rows.* FROM batch
           CROSS JOIN LATERAL (
               SELECT COALESCE(sum(call.generated), 0) AS of_calls,
                   COALESCE(sum(call.admitted), 0) AS admitted_of_calls,
                   count(*) FILTER (WHERE parsed_at IS NOT NULL) AS parsed,
                   (SELECT count(*) FROM question WHERE question.batch_id = batch.id) AS written,
                   (SELECT count(*) FROM rejection JOIN call ON call.id = rejection.call_id
                    WHERE call.batch_id = batch.id) AS refused
               FROM call WHERE call.batch_id = batch.id) AS rows
           WHERE batch.job_id = %s AND NOT (
               generated = of_calls AND admitted = admitted_of_calls AND calls_parsed + calls_given_up = parsed
               AND (stage <> 'generate' OR admitted = written AND generated = written + refused))""",
        [job_id],
    ).fetchall()
    assert wrong == []


def _check_stages(conn: Connection, job_id: str, state: str) -> None:
    """What is selected at the end has passed every stage of the job, and only holders of their batches said so."""
    [job] = conn.execute("SELECT dataset_id, spec -> 'stages' AS stages FROM job WHERE id = %s", [job_id]).fetchall()
    if state == "succeeded":
        for stage, column in (("validate", "validated"), ("answer", "answered")):
            undone = conn.execute(
                f"SELECT id FROM question WHERE dataset_id = %s AND state = 'selected' AND NOT {column}".encode(),
                [job.dataset_id],
            ).fetchall()
            assert stage not in job.stages or undone == []
    for table in ("verdict", "answer"):
        illegal = conn.execute(
            f"""SELECT question_id FROM {table} AS told WHERE job_id = %s AND NOT EXISTS (
                    SELECT FROM witness.claim
                    WHERE claim.batch_id = told.batch_id AND claim.fence = told.fence)""".encode(),
            [job_id],
        ).fetchall()
        assert illegal == []
    unanswered = conn.execute(
        """SELECT question.id FROM question WHERE dataset_id = %s AND answered AND NOT EXISTS (
               SELECT FROM answer WHERE question_id = question.id AND tokens = completion_tokens)""",
        [job.dataset_id],
    ).fetchall()
    assert unanswered == []


def _check_sums(conn: Connection) -> None:
    """Promise 8: what is added up, of all jobs and datasets, is what their rows say."""
    conn.commit()
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    for table, (told, counted) in COUNTS.items():
        told_rows, counted_rows = (
            sorted(map(repr, conn.cursor(row_factory=tuple_row).execute(query.encode()))) for query in (told, counted)
        )
        assert told_rows == counted_rows, f"the sums of {table} are wrong"


def _read_record(record: Path, answered: Set[str]) -> list[dict[str, Any]]:
    """All entries. The file is a moment behind the server: it is read again until it holds what was answered."""
    patience = Patience(RECORD_SECONDS)
    while True:
        entries = [json.loads(line) for line in record.read_text().splitlines()]
        if answered <= {entry["id"] for entry in entries} or patience.is_over():
            return entries
        time.sleep(0.05)


def _check_calls(conn: Connection, record: Path, job_id: str, in_flight: int) -> Findings:
    answered = {str(row.id) for row in conn.execute("SELECT id FROM call WHERE job_id = %s AND state = 'ok'", [job_id])}
    entries = _read_record(record, answered)
    assert [each for each, count in Counter(entry["id"] for entry in entries).items() if count > 1] == []
    ledger = {str(row.id): row for row in conn.execute("SELECT * FROM call WHERE job_id = %s", [job_id])}
    others = {str(row.id) for row in conn.execute("SELECT id FROM call WHERE job_id <> %s", [job_id])}
    assert [entry for entry in entries if entry["id"] not in ledger and entry["id"] not in others] == []

    served = {entry["id"]: entry for entry in entries if entry["id"] in ledger}
    unserved = [row for row in ledger.values() if row.state == "ok" and str(row.id) not in served]
    assert unserved == [], "the ledger holds replies that nobody gave"
    wasted = lost = 0
    readable: Counter[tuple[object, ...]] = Counter()
    for entry in served.values():
        row = ledger[entry["id"]]
        # A row that is not settled, or booked without an answer, was cut off with its worker.
        was_lost = row.outcome in {None, "lost"}
        assert was_lost or row.outcome in OUTCOMES[entry["outcome"]], (entry, row.outcome, row.detail)
        lost += was_lost
        if entry["billed"]:
            wasted += row.parsed_at is None and entry["outcome"] in READABLE
            readable[prompt_of(row)] += entry["outcome"] in READABLE
            if not was_lost and row.state == "ok":
                assert (row.input_tokens, row.output_tokens) == (entry["input_tokens"], entry["output_tokens"])
    paid_twice = sum(count - 1 for count in readable.values() if count > 1)
    assert lost <= in_flight, f"{lost} calls lost, {in_flight} were in flight"
    assert wasted <= in_flight, f"{wasted} paid replies wasted, {in_flight} calls were in flight"
    assert paid_twice <= in_flight, f"{paid_twice} prompts paid twice, {in_flight} calls were in flight"
    _check_waits(served, ledger)
    return Findings(sum(entry["billed"] for entry in served.values()), wasted, paid_twice)


def prompt_of(call: Any) -> tuple[object, ...]:
    """Which prompt a ledger row is about. Questions that a call was no use to are asked about again: another prompt."""
    return call.batch_id, call.ordinal, str(call.prompt.get("question_ids")), call.prompt.get("tries")


def _check_waits(served: dict[str, dict[str, Any]], ledger: dict[str, Any]) -> None:
    """No prompt was sent again before the Retry-After that it was told."""
    attempts = {(row.batch_id, row.ordinal, row.attempt): call_id for call_id, row in ledger.items()}
    for call_id, entry in served.items():
        row = ledger[call_id]
        again = served.get(attempts.get((row.batch_id, row.ordinal, row.attempt + 1), ""))
        if entry["retry_after"] is not None and again is not None:
            assert again["started"] >= entry["time"] + entry["retry_after"] - 0.01, (entry, again)
