"""Clear the raw replies of jobs that ended long ago, and the refused texts that stood in them; the ledger stays."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.ids import JobId
from shared.jobs.archive import LOCK_ENDED, ROWS_PER_TRANSACTION

# `finished_at` is set exactly in jobs that have ended (a CHECK). Of an archived job the replies go with their rows.
DUE = text("""
SELECT id FROM job
WHERE finished_at < clock_timestamp() - make_interval(days => :days)
  AND NOT EXISTS (SELECT FROM job_archive WHERE job_archive.job_id = job.id)
ORDER BY id
""")
# `octet_length` unpacks no reply: Postgres keeps the size of a long text apart from it.
COUNT = text("""
SELECT SUM(calls) AS calls, SUM(texts) AS texts, SUM(bytes) AS bytes, SUM(unparsed) AS unparsed FROM (
    SELECT COUNT(*) AS calls, 0 AS texts, COALESCE(SUM(octet_length(raw)), 0) AS bytes,
        COUNT(*) FILTER (WHERE state = 'ok' AND parsed_at IS NULL) AS unparsed
    FROM call WHERE job_id = :job_id AND raw IS NOT NULL
    UNION ALL
    SELECT 0, COUNT(*), COALESCE(SUM(octet_length(text)), 0), 0
    FROM rejection WHERE job_id = :job_id AND text IS NOT NULL) AS both_tables
""")
# Promise 4: a reply that was never parsed is paid work that somebody may still want. Only its age lets it go, and it
# is counted apart.
CLEAR_RAW = text("""
WITH old AS (
    SELECT id, octet_length(raw) AS bytes, state = 'ok' AND parsed_at IS NULL AS unparsed FROM call
    WHERE job_id = :job_id AND id > CAST(:after AS uuid) AND raw IS NOT NULL ORDER BY id LIMIT :rows FOR UPDATE
), cleared AS (
    UPDATE call SET raw = NULL, raw_pruned_at = clock_timestamp() FROM old WHERE call.id = old.id
)
SELECT COUNT(*) AS calls, COALESCE(SUM(bytes), 0) AS bytes, COUNT(*) FILTER (WHERE unparsed) AS unparsed,
    (array_agg(id ORDER BY id DESC))[1] AS last
FROM old
""")
CLEAR_REFUSED = text("""
WITH old AS (
    SELECT id, octet_length(text) AS bytes FROM rejection
    WHERE job_id = :job_id AND id > :after AND text IS NOT NULL ORDER BY id LIMIT :rows FOR UPDATE
), cleared AS (
    UPDATE rejection SET text = NULL FROM old WHERE rejection.id = old.id
)
SELECT COUNT(*) AS texts, COALESCE(SUM(bytes), 0) AS bytes, MAX(id) AS last FROM old
""")


@dataclass(frozen=True, slots=True)
class Cleared:
    """Of one job: replies, refused texts, the bytes of both, and replies that were paid for and never parsed."""

    calls: int = 0
    texts: int = 0
    bytes: int = 0
    unparsed: int = 0

    @property
    def rows(self) -> int:
        """Replies and texts."""
        return self.calls + self.texts

    def __add__(self, other: "Cleared") -> "Cleared":
        return Cleared(
            self.calls + other.calls,
            self.texts + other.texts,
            self.bytes + other.bytes,
            self.unparsed + other.unparsed,
        )


async def jobs_to_clear(engine: AsyncEngine, days: int) -> list[JobId]:
    """Jobs that ended more than `days` days ago, by the database's clock; their replies may be gone already."""
    async with engine.connect() as conn:
        return [JobId(row.id) for row in await conn.execute(DUE, {"days": days})]


async def count_replies(engine: AsyncEngine, job_id: JobId) -> Cleared:
    """What `clear_replies` would clear; changes nothing."""
    async with engine.connect() as conn:
        row = (await conn.execute(COUNT, {"job_id": job_id})).one()
    return Cleared(int(row.calls), int(row.texts), int(row.bytes), int(row.unparsed))


async def clear_replies(engine: AsyncEngine, job_id: JobId, *, rows: int = ROWS_PER_TRANSACTION) -> Cleared:
    """Clear them, at most `rows` a transaction. A job that has not ended, or is gone, stays as it is."""
    total = Cleared()
    last_call: UUID | None = UUID(int=0)
    while last_call is not None:
        async with engine.begin() as conn:
            last_call, cleared = await _clear_raw(conn, job_id, last_call, rows)
        total += cleared
    last_refused: int | None = 0
    while last_refused is not None:
        async with engine.begin() as conn:
            last_refused, cleared = await _clear_refused(conn, job_id, last_refused, rows)
        total += cleared
    return total


async def _clear_raw(conn: AsyncConnection, job_id: JobId, after: UUID, rows: int) -> tuple[UUID | None, Cleared]:
    """One transaction's share; the last id of it, or None when that was all."""
    if not await _lock_ended(conn, job_id):
        return None, Cleared()
    row = (await conn.execute(CLEAR_RAW, {"job_id": job_id, "after": after, "rows": rows})).one()
    cleared = Cleared(calls=row.calls, bytes=int(row.bytes), unparsed=row.unparsed)
    return (row.last if row.calls == rows else None), cleared


async def _clear_refused(conn: AsyncConnection, job_id: JobId, after: int, rows: int) -> tuple[int | None, Cleared]:
    if not await _lock_ended(conn, job_id):
        return None, Cleared()
    row = (await conn.execute(CLEAR_REFUSED, {"job_id": job_id, "after": after, "rows": rows})).one()
    return (row.last if row.texts == rows else None), Cleared(texts=row.texts, bytes=int(row.bytes))


async def _lock_ended(conn: AsyncConnection, job_id: JobId) -> bool:
    return (await conn.execute(LOCK_ENDED, {"job_id": job_id})).scalar_one_or_none() is not None
