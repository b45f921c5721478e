"""A job over time: what came, what was sent and failed, how long calls took, what was spent.

A small job's series is exact, from its ledger. A large one's ledger is not read whole: batches, each the sum of some
twenty calls, tell what came; a few calls of each step tell how long they took and what they cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId

# A ledger of so many calls is read in some 60 ms.
MOST_CALLS_READ = 5_000
SAMPLED_PER_STEP = 40

JOB = text("""
SELECT job.created_at, COALESCE(job.finished_at, clock_timestamp()) AS until, job_budget.spent_usd,
    job_archive.job_id IS NOT NULL AS archived,
    (SELECT COALESCE(SUM(calls), 0)::bigint FROM call_count WHERE call_count.job_id = job.id) AS calls
FROM job JOIN job_budget ON job_budget.job_id = job.id LEFT JOIN job_archive ON job_archive.job_id = job.id
WHERE job.id = :job_id
""")
# What lies outside, as a call that is settled after the job's end, counts in the first step or the last.
_STEP = "LEAST(GREATEST(floor(date_part('epoch', {at} - CAST(:began AS timestamptz)) / :step), 0), :last)::int"
_REFUSED = "CASE WHEN stage = 'answer' THEN 0 ELSE generated - admitted END"
# A submission's calls wait for the provider's leisure: no latency of theirs.
LEDGER = text(f"""
SELECT {_STEP.format(at="at")} AS step, SUM(sent)::bigint AS calls, SUM(failed)::bigint AS failed,
    SUM(spent) AS cost_usd, SUM(admitted_now)::bigint AS admitted, SUM(refused)::bigint AS rejected,
    SUM(answered)::bigint AS answered, percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS latency_p50_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS latency_p95_ms
FROM call CROSS JOIN LATERAL (VALUES
    (sent_at, 1, 0, 0, 0, 0, 0, NULL),
    (settled_at, 0, (state IN ('failed', 'unknown'))::int, cost_usd, 0, 0, 0,
        CASE WHEN state = 'ok' AND submission_id IS NULL THEN extract(epoch FROM settled_at - sent_at) * 1000 END),
    (parsed_at, 0, 0, 0, CASE WHEN stage = 'generate' THEN admitted END, {_REFUSED},
        CASE WHEN stage = 'answer' THEN admitted END, NULL)
) AS happened (at, sent, failed, spent, admitted_now, refused, answered, latency_ms)
WHERE job_id = :job_id AND at IS NOT NULL GROUP BY 1
""")  # noqa: S608 - constants
# An open batch counts as of now.
BATCHES = text(f"""
SELECT {_STEP.format(at="COALESCE(finished_at, CAST(:until AS timestamptz))")} AS step,
    SUM(calls_parsed)::bigint AS calls, SUM(CASE WHEN stage = 'generate' THEN admitted END)::bigint AS admitted,
    SUM({_REFUSED})::bigint AS rejected, SUM(CASE WHEN stage = 'answer' THEN admitted END)::bigint AS answered
FROM batch WHERE job_id = :job_id GROUP BY 1
""")  # noqa: S608 - constants
# When a call was sent stands in its id (UUID version 7): an index alone answers, by ranges.
FAILED = text("""
SELECT (number - 1)::int AS step, COUNT(*) AS failed
FROM unnest(CAST(:first AS uuid[]), CAST(:behind AS uuid[])) WITH ORDINALITY AS of_step (first, behind, number)
CROSS JOIN unnest(ARRAY['failed', 'unknown']) AS wanted (state)
CROSS JOIN LATERAL (
    SELECT FROM call WHERE job_id = :job_id AND call.state IN ('failed', 'unknown') AND call.state = wanted.state
      AND id >= first AND id < behind) AS found
GROUP BY 1
""")
SAMPLE = text("""
SELECT step, AVG(cost_usd) AS cost_usd, percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS latency_p50_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS latency_p95_ms
FROM unnest(CAST(:first AS uuid[]), CAST(:behind AS uuid[])) WITH ORDINALITY AS of_step (first, behind, number)
CROSS JOIN LATERAL (SELECT (number - 1)::int AS step) AS numbered
CROSS JOIN LATERAL (
    SELECT cost_usd, CASE WHEN state = 'ok' AND submission_id IS NULL
        THEN extract(epoch FROM settled_at - sent_at) * 1000 END AS latency_ms
    FROM call WHERE job_id = :job_id AND id >= first AND id < behind ORDER BY id LIMIT :most) AS sampled
GROUP BY 1
""")
COUNTS = ("admitted", "rejected", "answered", "calls", "failed")
LATENCIES = ("latency_p50_ms", "latency_p95_ms")


@dataclass(frozen=True, slots=True)
class Steps:
    """Equal steps from `began` on; the last one may be shorter."""

    began: datetime
    until: datetime
    seconds: int
    count: int

    @property
    def times(self) -> list[datetime]:
        """When each begins, and, as the last, when the last ends."""
        return [self.began + timedelta(seconds=self.seconds * number) for number in range(self.count + 1)]


def make_steps(began: datetime, until: datetime, points: int) -> Steps:
    """At most so many steps of whole seconds."""
    span = max((until - began).total_seconds(), 1.0)
    seconds = ceil(span / points)
    return Steps(began, until, seconds, ceil(span / seconds))


async def read_series(engine: AsyncEngine, job_id: JobId, *, points: int) -> dict[str, Any]:
    """The job in at most `points` steps from its creation to its end, or to now. Raises NotFound.

    `source` is "ledger", "batches" (then what `sampled` names is estimated), or "archived" without any steps.
    """
    async with engine.connect() as conn:
        await conn.execution_options(isolation_level="REPEATABLE READ")
        job = (await conn.execute(JOB, {"job_id": job_id})).one_or_none()
        if job is None:
            raise NotFound(f"there is no job {job_id}")
        steps = make_steps(job.created_at, job.until, points)
        if job.archived:
            return _shown(Steps(steps.began, steps.until, steps.seconds, 0), {}, source="archived")
        if job.calls <= MOST_CALLS_READ:
            return _shown(steps, await _from_ledger(conn, job_id, steps), source="ledger")
        found = await _from_batches(conn, job_id, steps, float(job.spent_usd))
        return _shown(steps, found, source="batches", sampled=[*LATENCIES, "cost_usd"])


async def _from_ledger(conn: AsyncConnection, job_id: JobId, steps: Steps) -> dict[int, dict[str, Any]]:
    rows = (await conn.execute(LEDGER, _values(job_id, steps))).mappings()
    return {row["step"]: dict(row) for row in rows}


async def _from_batches(
    conn: AsyncConnection, job_id: JobId, steps: Steps, spent_usd: float
) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {step: {} for step in range(steps.count)}
    for row in (await conn.execute(BATCHES, _values(job_id, steps))).mappings():
        found[row["step"]].update(row)
    edges = [_first_id(time) for time in steps.times]
    # What was sent at the very end or, by another clock, before the beginning.
    edges[0], edges[-1] = UUID(int=0), UUID(int=2**128 - 1)
    of_steps = {"job_id": job_id, "first": edges[:-1], "behind": edges[1:]}
    for row in (await conn.execute(FAILED, of_steps)).mappings():
        found[row["step"]].update(row)
    costs = dict.fromkeys(found, 0.0)
    for row in (await conn.execute(SAMPLE, {**of_steps, "most": SAMPLED_PER_STEP})).mappings():
        found[row["step"]].update({name: row[name] for name in LATENCIES})
        costs[row["step"]] = float(row["cost_usd"] or 0) * (found[row["step"]].get("calls") or 0)
    # Their sum is known: what is estimated is only how it grew.
    whole = sum(costs.values())
    for step, cost in costs.items():
        found[step]["cost_usd"] = cost / whole * spent_usd if whole else 0.0
    if not whole:
        found[steps.count - 1]["cost_usd"] = spent_usd
    return found


def _values(job_id: JobId, steps: Steps) -> dict[str, Any]:
    return {
        "job_id": job_id, "began": steps.began, "until": steps.until, "step": steps.seconds, "last": steps.count - 1,
    }  # fmt: skip


def _first_id(time: datetime) -> UUID:
    """The lowest id of a call that may have been sent then."""
    return UUID(int=int(time.timestamp() * 1000) << 80)


def _shown(
    steps: Steps, found: Mapping[int, Mapping[str, Any]], *, source: str, sampled: Sequence[str] = ()
) -> dict[str, Any]:
    rows = [found.get(step, {}) for step in range(steps.count)]
    spent, costs = 0.0, []
    for row in rows:
        spent += float(row.get("cost_usd") or 0)
        costs.append(round(spent, 6))
    return {
        "from": steps.began,
        "to": steps.until,
        "step_seconds": steps.seconds,
        "source": source,
        "sampled": list(sampled),
        "times": steps.times[: steps.count],
        **{name: [row.get(name) or 0 for row in rows] for name in COUNTS},
        **{name: [None if row.get(name) is None else round(float(row[name]), 1) for row in rows] for name in LATENCIES},
        "cost_usd": costs,
    }
