"""How fast a job's calls were answered and their questions admitted, by its ledger."""

from collections.abc import Sequence

from tests.faults.system import RunningSystem

ANSWERED_AT = """
    SELECT extract(epoch FROM call.settled_at - job.created_at)::float AS after
    FROM call JOIN job ON job.id = call.job_id
    WHERE job.id = %s AND call.state = 'ok' ORDER BY call.settled_at
"""


COMMITTED_AT = """
    SELECT extract(epoch FROM call.parsed_at - job.created_at)::float AS after
    FROM call JOIN job ON job.id = call.job_id
    WHERE job.id = %s AND call.parsed_at IS NOT NULL ORDER BY call.parsed_at
"""


def committed_after(system: RunningSystem, job_id: str) -> list[float]:
    """When the questions of each answer were admitted: seconds after the POST, ascending."""
    return [float(row.after) for row in system.query(COMMITTED_AT, [job_id])]


def answered_after(system: RunningSystem, job_id: str) -> list[float]:
    """When each good answer was stored: seconds after the POST, ascending."""
    return [float(row.after) for row in system.query(ANSWERED_AT, [job_id])]


def per_second(times: Sequence[float], start: float, end: float) -> float:
    """How many of these times a second lie between `start` and `end`."""
    return sum(start <= time < end for time in times) / (end - start)
