"""What is to be told of jobs: written by a trigger where a job ends or pauses; taken, to be sent, and shown here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.progress import read_job_within

# Longer than an attempt takes: who takes a notification has it for so long, and one that is killed meanwhile leaves it
# to the next, who sends it under the same id.
HOLD_SECONDS = 30.0
GIVE_UP_SECONDS = 24 * 3600.0
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
SHOWN = 100

NO_RECEIVER = text("DELETE FROM notification WHERE state = 'pending' AND url IS NULL")
TAKE = text("""
UPDATE notification SET attempts = attempts + 1, next_at = clock_timestamp() + make_interval(secs => :hold_seconds)
WHERE id IN (
    SELECT id FROM notification WHERE state = 'pending' AND next_at <= clock_timestamp()
    ORDER BY next_at LIMIT :most FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, job_id, event, reason, url, attempts, created_at
""")
BODY = text("SELECT body FROM notification WHERE id = :id")
KEEP_BODY = text("UPDATE notification SET body = COALESCE(body, :body) WHERE id = :id RETURNING body")
DELIVERED = text("""
UPDATE notification SET state = 'delivered', detail = :detail, ended_at = clock_timestamp()
WHERE id = :id AND state = 'pending'
""")
NOT_DELIVERED = text("""
UPDATE notification SET detail = :detail, next_at = clock_timestamp() + make_interval(secs => :pause_seconds),
    state = CASE WHEN over.yes THEN 'given_up' ELSE 'pending' END,
    ended_at = CASE WHEN over.yes THEN clock_timestamp() END
FROM (
    SELECT clock_timestamp() + make_interval(secs => :pause_seconds)
        > created_at + make_interval(secs => :give_up_seconds) AS yes
    FROM notification WHERE id = :id) AS over
WHERE id = :id AND state = 'pending' RETURNING state = 'given_up'
""")
OF_JOB = text("""
SELECT notification.id, event, url, notification.state, attempts, detail, notification.created_at, ended_at,
    CASE WHEN notification.state = 'pending' THEN next_at END AS next_at
FROM job LEFT JOIN notification ON notification.job_id = job.id
WHERE job.id = :job_id ORDER BY notification.created_at DESC, notification.id LIMIT :shown
""")


@dataclass(frozen=True, slots=True)
class Notification:
    """One that is to be sent now. `url` is None where the server's own receiver is meant; `event` is a job's state."""

    id: UUID
    job_id: JobId
    event: str
    reason: str | None
    url: str | None
    attempts: int
    created_at: datetime


async def drop_without_receiver(conn: AsyncConnection) -> None:
    """The server has no receiver of its own."""
    await conn.execute(NO_RECEIVER)


async def take_due(conn: AsyncConnection, *, most: int) -> list[Notification]:
    """Take those that are due, for HOLD_SECONDS; nobody else takes them meanwhile."""
    rows = (await conn.execute(TAKE, {"most": most, "hold_seconds": HOLD_SECONDS})).mappings()
    return [Notification(**row) for row in rows]


async def body_of(conn: AsyncConnection, notification: Notification) -> str:
    """What is sent, as JSON. Written once: what has an id stays what it is, whatever the job does meanwhile.

    Raises NotFound when the job is gone.
    """
    written = (await conn.execute(BODY, {"id": notification.id})).scalar_one_or_none()
    if written is None:
        job = await read_job_within(conn, notification.job_id)
        drafted = orjson.dumps(_tell(notification, job)).decode()
        written = (await conn.execute(KEEP_BODY, {"id": notification.id, "body": drafted})).scalar_one()
    return str(written)


async def note_delivered(conn: AsyncConnection, notification: Notification, detail: str) -> None:
    """A receiver has it."""
    await conn.execute(DELIVERED, {"id": notification.id, "detail": detail})


async def note_not_delivered(conn: AsyncConnection, notification: Notification, detail: str) -> bool:
    """Have it sent again later; returns whether it is given up, since later were more than a day after the event."""
    values = {"id": notification.id, "detail": detail, "give_up_seconds": GIVE_UP_SECONDS}
    noted = await conn.execute(NOT_DELIVERED, {**values, "pause_seconds": pause_seconds(notification.attempts)})
    return bool(noted.scalar_one_or_none())


def pause_seconds(attempts: int) -> float:
    """How long to wait after so many attempts: 5 s, three times as long each time, an hour at most."""
    return min(FIRST_PAUSE_SECONDS * 3.0 ** min(attempts - 1, 10), LONGEST_PAUSE_SECONDS)


async def list_notifications(engine: AsyncEngine, job_id: JobId) -> Sequence[Mapping[str, Any]]:
    """The newest notifications of a job, delivered or not. Raises NotFound."""
    async with engine.connect() as conn:
        rows = (await conn.execute(OF_JOB, {"job_id": job_id, "shown": SHOWN})).mappings().all()
    if not rows:
        raise NotFound(f"there is no job {job_id}")
    return [dict(row) for row in rows if row["id"] is not None]


def _tell(notification: Notification, job: Mapping[str, Any]) -> dict[str, Any]:
    shown = ("target", "selected", "validated", "answered", "cost_usd")
    return {
        "id": notification.id,
        "event": f"job.{notification.event}",
        "created_at": notification.created_at,
        "job": {
            "id": job["id"],
            "dataset": job["dataset"],
            "state": notification.event,
            "reason": notification.reason,
            "rehearsal": job["rehearsal"],
            "budget_usd": job["budget_usd"],
            "progress": {name: job["progress"].get(name) for name in shown},
        },
    }
