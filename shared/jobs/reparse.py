"""Read the stored replies of a job again with today's parsers, for free: promise 4.

What an older parser missed is taken in with its call's own provenance; what is there already stays as it is, so that a
second time nothing is gained. Page by page, in short transactions: what is committed stays when this breaks off.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.busy_dataset import refuse_when_busy
from shared.database.fence import lock_job
from shared.database.states import UNFINISHED_JOB_STATES, Stage
from shared.errors import Conflict, NotFound
from shared.ids import DatasetId, JobId
from shared.jobs.reconcile import wake_reconciler
from shared.jobs.reparse_questions import QuestionGains, admit_offers, drop_known, read_offers
from shared.jobs.reparse_results import ResultGains, find_missing, read_results, store_results
from shared.jobs.stored_calls import COUNT_PRUNED, StoredCall, read_page
from shared.questions.gates.table import gates_on

T = TypeVar("T")
OFFERS_PER_TRANSACTION = 64

FIND = text("""
    SELECT job.dataset_id, dataset.name AS dataset, job.spec,
        EXISTS (SELECT FROM job_archive WHERE job_id = job.id) AS archived
    FROM job JOIN dataset ON dataset.id = job.dataset_id WHERE job.id = :job_id
""")
# Promise 2: what an import adds is committed before anything is compared with it. The dataset before the job, as
# whoever deletes the two locks them.
HOLD_DATASET = text("SELECT 1 FROM dataset WHERE id = :dataset_id FOR KEY SHARE")


@dataclass(slots=True)
class Reparsed:
    """What reading again brought, or would bring. Of questions `gained` counts the candidates, admitted or not."""

    dry_run: bool
    read: int = 0
    pruned: int = 0
    calls_with_gain: int = 0
    questions: int = 0
    verdicts: int = 0
    answers: int = 0
    admitted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)

    def add_questions(self, gains: QuestionGains) -> None:
        """Count candidates."""
        self.calls_with_gain += gains.calls
        self.questions += gains.offered
        self.admitted += gains.admitted
        self.refused.update(gains.refused or {})

    def add_results(self, stage: Stage, gains: ResultGains) -> None:
        """Count verdicts or answers."""
        self.calls_with_gain += bool(gains.verdicts or gains.answers)
        self.verdicts += gains.verdicts
        self.answers += gains.answers
        self.settled["validated" if stage is Stage.VALIDATE else "answered"] += len(gains.outcome.passed)
        self.settled["rejected"] += len(gains.outcome.rejected or {})

    def to_json(self) -> dict[str, Any]:
        """As POST /v1/jobs/{id}/reparse answers it."""
        return {
            "dry_run": self.dry_run,
            "read": self.read,
            "unchanged": self.read - self.calls_with_gain,
            "pruned": self.pruned,
            "gained": {"questions": self.questions, "verdicts": self.verdicts, "answers": self.answers},
            "admitted": self.admitted,
            "refused": dict(self.refused),
            "settled": {name: self.settled[name] for name in ("validated", "answered", "rejected")},
        }


async def reparse_job(engine: AsyncEngine, job_id: JobId, *, template_cap: int, dry_run: bool = False) -> Reparsed:
    """Read all replies of the job that are not pruned nor a worker's to parse; a dry run changes nothing.

    `template_cap` is the server's, for a job that has none of its own. A dry run takes each transaction for itself:
    candidates that only repeat each other across pages all count as admitted. Raises NotFound, or Conflict for a job
    whose ledger is archived, and while an import into its dataset is under way.
    """
    async with engine.connect() as conn:
        job = (await conn.execute(FIND, {"job_id": job_id})).mappings().one_or_none()
        if job is None:
            raise NotFound(f"there is no job {job_id}")
        if job["archived"]:
            raise Conflict(f"the ledger of job {job_id} is archived, and its replies are gone with it")
        pruned = (await conn.execute(COUNT_PRUNED, {"job_id": job_id})).scalar_one()
    run = _Run(engine, job_id, job, template_cap, Reparsed(dry_run, pruned=pruned))
    after = UUID(int=0)
    while calls := await run.page(after):
        after = calls[-1].id
        await run.reread(calls)
    return run.reparsed


class _Run:
    def __init__(
        self, engine: AsyncEngine, job_id: JobId, job: RowMapping, template_cap: int, reparsed: Reparsed
    ) -> None:
        self._engine = engine
        self._job_id = job_id
        self._dataset_id = DatasetId(job["dataset_id"])
        self._dataset: str = job["dataset"]
        self._spec: dict[str, Any] = job["spec"]
        self._gates = gates_on(self._spec.get("gates", {}))
        self._template_cap = self._spec.get("novelty", {}).get("template_cap") or template_cap
        self.reparsed = reparsed

    async def page(self, after: UUID) -> list[StoredCall]:
        async with self._engine.connect() as conn:
            return await read_page(conn, self._job_id, self._dataset_id, after)

    async def reread(self, calls: Sequence[StoredCall]) -> None:
        self.reparsed.read += len(calls)
        await self._reread_questions([call for call in calls if call.stage is Stage.GENERATE])
        await self._reread_results([call for call in calls if call.stage is not Stage.GENERATE])

    async def _reread_questions(self, calls: Sequence[StoredCall]) -> None:
        offers = await asyncio.to_thread(read_offers, calls, self._gates)
        # Nearly always there is nothing new, and then nobody waits for a lock.
        async with self._engine.connect() as conn:
            offers = await drop_known(conn, self._dataset_id, offers)
        for start in range(0, len(offers), OFFERS_PER_TRANSACTION):
            some = offers[start : start + OFFERS_PER_TRANSACTION]

            async def take_in(conn: AsyncConnection, _state: str) -> QuestionGains:
                return await admit_offers(conn, self._dataset_id, some, template_cap=self._template_cap)  # noqa: B023

            self.reparsed.add_questions(await self._with_job_locked(take_in))

    async def _reread_results(self, calls: Sequence[StoredCall]) -> None:
        results = await asyncio.to_thread(read_results, calls, self._spec)
        async with self._engine.connect() as conn:
            missing = await find_missing(conn, results)
        for each in missing:
            its = each.results

            async def take_in(conn: AsyncConnection, state: str) -> ResultGains:
                return await store_results(conn, its, settle=state in UNFINISHED_JOB_STATES)  # noqa: B023

            self.reparsed.add_results(its.call.stage, await self._with_job_locked(take_in))

    async def _with_job_locked(self, work: Callable[[AsyncConnection, str], Awaitable[T]]) -> T:
        """One transaction; rolled back of a dry run. No job ends, no ledger is archived, nothing imported meanwhile."""
        told = f"dataset {self._dataset} is being imported into; read again after it. What was taken in before stays"
        async with self._engine.connect() as conn:
            with refuse_when_busy(Conflict(told)):
                await conn.execute(HOLD_DATASET, {"dataset_id": self._dataset_id})
            state = await lock_job(conn, self._job_id)
            if state is None:
                raise NotFound(f"job {self._job_id} is gone; what was taken in before stays")
            gains = await work(conn, state)
            if self.reparsed.dry_run:
                await conn.rollback()
            else:
                await wake_reconciler(conn)
                await conn.commit()
            return gains
