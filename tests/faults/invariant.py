"""What must hold after every run, whatever was killed meanwhile, read from Postgres and the model server's own record.

Our own counters are not asked. `check_invariant` raises AssertionError with what it found.
"""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from shared.corpus.guards import guard_between
from shared.corpus.normalise import normalise

Connection = psycopg.Connection[Any]
# From here on 12 bands of 5 find practically every pair (0.9 ** 5 = 0.59 each); between 0.75 and 0.9 they miss a few.
SURELY_NEAR = 0.9


@dataclass(frozen=True, slots=True)
class Findings:
    """What the check counted: calls that were paid for, and those of them whose reply was never used."""

    paid_calls: int
    wasted_calls: int


def check_invariant(database_url: str, record: Path, job_id: str, *, killed_in_flight: int) -> Findings:
    """Exact counts, no repeats, every paid call accounted for, the budget kept, every lease free."""
    with psycopg.Connection[Any].connect(database_url, row_factory=namedtuple_row) as conn:
        _check_counts(conn, job_id)
        _check_repeats(conn, job_id)
        _check_money(conn, job_id)
        _check_leases(conn, job_id)
        return _check_calls(conn, record, job_id, killed_in_flight)


def _check_counts(conn: Connection, job_id: str) -> None:
    cells = conn.execute(
        """SELECT job_cell.domain, job_cell.difficulty, target, (
               SELECT count(*) FROM question WHERE question.dataset_id = job.dataset_id AND state = 'selected'
               AND question.domain = job_cell.domain AND question.difficulty = job_cell.difficulty) AS selected
           FROM job_cell JOIN job ON job.id = job_cell.job_id WHERE job.id = %s""",
        [job_id],
    ).fetchall()
    assert cells
    assert [cell for cell in cells if cell.target != cell.selected] == []
    (state,) = conn.execute("SELECT state FROM job WHERE id = %s", [job_id]).fetchone() or ("gone",)
    assert state == "succeeded"


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
    row = conn.execute(
        """SELECT budget_usd, spent_usd, held_usd,
               (SELECT COALESCE(sum(cost_usd), 0) FROM call WHERE job_id = %(job)s) AS ledger_usd,
               (SELECT COALESCE(sum(worst_usd), 0) FROM call WHERE job_id = %(job)s AND state = 'sent') AS sent_usd
           FROM job_budget WHERE job_id = %(job)s""",
        {"job": job_id},
    ).fetchone()
    assert row is not None
    assert row.spent_usd == row.ledger_usd
    assert row.held_usd == row.sent_usd
    assert row.spent_usd + row.held_usd <= row.budget_usd


def _check_leases(conn: Connection, job_id: str) -> None:
    assert (
        conn.execute("SELECT id FROM batch WHERE job_id = %s AND state IN ('leased', 'pending')", [job_id]).fetchall()
        == []
    )
    assert (
        conn.execute(
            """SELECT question.id FROM question JOIN batch ON batch.id = question.batch_id
               WHERE question.job_id = %s AND question.fence > batch.fence""",
            [job_id],
        ).fetchall()
        == []
    )


def _check_calls(conn: Connection, record: Path, job_id: str, killed_in_flight: int) -> Findings:
    served = [entry for line in record.read_text().splitlines() if (entry := json.loads(line))["billed"]]
    ledger = {str(row.id): row for row in conn.execute("SELECT * FROM call WHERE job_id = %s", [job_id])}
    mine = [entry for entry in served if entry["id"] in ledger]
    assert len({entry["id"] for entry in mine}) == len(mine), "one call id was served twice"
    # A billed reply is parsed, or its row says why not: cut off by a fault, or by the death of its worker.
    wasted = [entry for entry in mine if ledger[entry["id"]].parsed_at is None]
    unexplained = [entry for entry in wasted if ledger[entry["id"]].state not in {"unknown", "failed", "sent"}]
    assert unexplained == []
    died = [entry for entry in wasted if ledger[entry["id"]].outcome in {None, "lost"}]
    assert len(died) <= killed_in_flight
    return Findings(paid_calls=len(mine), wasted_calls=len(wasted))
