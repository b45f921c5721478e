"""What a prune takes away of jobs that have ended: their raw replies first, much later their whole ledger.

Nothing is pruned by itself. Never touched are questions and what refuses their repeats, the prompts that a dataset has
used up, and the job with its plan, cells, budget and idempotency key: promises 2, 5 and 6 do not need the rest.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.errors import FieldError, InvalidInput
from shared.ids import JobId
from shared.jobs.archive import archive_job, count_archivable, jobs_to_archive
from shared.jobs.raw_replies import clear_replies, count_replies, jobs_to_clear
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Ages:
    """How many days after a job's end its raw replies, and its ledger, may go."""

    raw_days: int
    ledger_days: int


@dataclass(frozen=True, slots=True)
class RawPruned:
    """Raw replies that were cleared; `bytes` counts them and the texts that were refused of them."""

    jobs: int
    calls: int
    bytes: int
    unparsed: int


@dataclass(frozen=True, slots=True)
class JobsArchived:
    """Jobs that were archived, and the rows that were deleted for it."""

    jobs: int
    calls: int
    batches: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A job that is old enough to be archived and was not."""

    job_id: JobId
    reason: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did, or would do."""

    dry_run: bool
    raw: RawPruned
    archived: JobsArchived
    skipped: tuple[Skipped, ...]

    def to_json(self) -> dict[str, Any]:
        """As POST /v1/prune answers it."""
        skipped = [{"job_id": str(each.job_id), "reason": each.reason} for each in self.skipped]
        raw, archived = asdict(self.raw), asdict(self.archived)
        return {"dry_run": self.dry_run, "raw": raw, "archived": archived, "skipped": skipped}


def choose_ages(settings: Settings, *, raw_days: int | None, ledger_days: int | None) -> Ages:
    """The ages asked for; those of the settings where none is given.

    Raises InvalidInput when a ledger would go before its replies may.
    """
    raw = settings.raw_days if raw_days is None else raw_days
    ledger = settings.ledger_days if ledger_days is None else ledger_days
    if ledger < raw:
        why = f"{ledger} is below raw_days ({raw}), but a ledger takes its raw replies along: lower raw_days as well"
        raise InvalidInput(f"ledger_days: {why}", [FieldError("ledger_days", why)])
    return Ages(raw, ledger)


async def prune(engine: AsyncEngine, ages: Ages, *, dry_run: bool = False) -> Pruned:
    """Prune all jobs that ended long enough ago, each in short transactions of its own; a dry run changes nothing.

    What is committed stays when this breaks off, and the next prune goes on. Repeated, or two at once, do no harm.
    """
    # Raw replies of jobs that are archived too are cleared first: each is counted, also those that were never parsed.
    raw = await _prune_replies(engine, ages.raw_days, dry_run=dry_run)
    archived, skipped = await _archive(engine, ages.ledger_days, dry_run=dry_run)
    return Pruned(dry_run, raw, archived, skipped)


async def _prune_replies(engine: AsyncEngine, days: int, *, dry_run: bool) -> RawPruned:
    handle = count_replies if dry_run else clear_replies
    cleared = [await handle(engine, job_id) for job_id in await jobs_to_clear(engine, days)]
    return RawPruned(
        jobs=sum(each.rows > 0 for each in cleared),
        calls=sum(each.calls for each in cleared),
        bytes=sum(each.bytes for each in cleared),
        unparsed=sum(each.unparsed for each in cleared),
    )


async def _archive(engine: AsyncEngine, days: int, *, dry_run: bool) -> tuple[JobsArchived, tuple[Skipped, ...]]:
    handle = count_archivable if dry_run else archive_job
    handled = [(job_id, await handle(engine, job_id)) for job_id in await jobs_to_archive(engine, days)]
    archived = [each for _, each in handled if each.kept_because is None]
    skipped = [Skipped(job_id, each.kept_because) for job_id, each in handled if each.kept_because is not None]
    counts = JobsArchived(len(archived), sum(each.calls for each in archived), sum(each.batches for each in archived))
    return counts, tuple(skipped)
