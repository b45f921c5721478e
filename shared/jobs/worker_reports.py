"""What workers say of themselves, and what is remembered of it: a row for each process, written while it lives."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# One that has said nothing for so long is not shown any more, and soon after that forgotten.
SILENT_SECONDS = 90.0

REPORT = text("""
INSERT INTO worker_report AS known (name, batches, calls_in_flight, calls_started, turn_wait_seconds,
    rate_wait_seconds, limiter_failures)
VALUES (:name, :batches, :calls_in_flight, :calls_started, :turn_wait_seconds, :rate_wait_seconds, :limiter_failures)
ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp(), batches = excluded.batches,
    calls_in_flight = excluded.calls_in_flight, calls_started = excluded.calls_started,
    turn_wait_seconds = excluded.turn_wait_seconds, rate_wait_seconds = excluded.rate_wait_seconds,
    limiter_failures = excluded.limiter_failures,
    started_at = CASE WHEN excluded.calls_started < known.calls_started THEN clock_timestamp() ELSE known.started_at END
""")
FORGET = text("DELETE FROM worker_report WHERE seen_at < clock_timestamp() - interval '1 hour'")
LEAVE = text("DELETE FROM worker_report WHERE name = :name")
READ = text("""
SELECT name, batches, calls_in_flight, calls_started, turn_wait_seconds, rate_wait_seconds, limiter_failures,
    seen_at FROM worker_report
WHERE seen_at > clock_timestamp() - make_interval(secs => :silent_seconds) ORDER BY name
""")


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One process: what it does now, and what it has done since it started.

    `turn_wait_seconds` and `rate_wait_seconds` are summed over its calls: the wait for a place beside its other calls
    to the model, and for the rate limiter. `limiter_failures`: how often Redis did not answer it.
    """

    name: str
    batches: int
    calls_in_flight: int
    calls_started: int
    turn_wait_seconds: float
    rate_wait_seconds: float
    limiter_failures: int


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A report and when it came."""

    report: WorkerReport
    seen_at: datetime


async def report_worker(conn: AsyncConnection, report: WorkerReport) -> None:
    """Replace what the process said before; forget those who have been silent for an hour."""
    await conn.execute(REPORT, asdict(report))
    await conn.execute(FORGET)


async def withdraw_report(conn: AsyncConnection, name: str) -> None:
    """The process ends in order."""
    await conn.execute(LEAVE, {"name": name})


async def read_reports(conn: AsyncConnection) -> Sequence[SeenWorker]:
    """The processes that live, by name."""
    rows = (await conn.execute(READ, {"silent_seconds": SILENT_SECONDS})).mappings()
    return [
        SeenWorker(WorkerReport(**{k: v for k, v in row.items() if k != "seen_at"}), row["seen_at"]) for row in rows
    ]
