"""The keeper of bulk submissions, one in the whole system: intends, submits, finds again, looks, settles, cancels.

No connection or transaction is held while a provider is asked; only the lock's connection is idle meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import psycopg
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.reconnect import in_transaction, is_unreachable
from shared.database.states import JobState, SubmissionState
from shared.database.trouble import concerns_all, first_line
from shared.errors import BudgetExhausted, NoProviderKey, UnusableModel
from shared.ids import BatchId, JobId, SubmissionId, new_submission_id
from shared.jobs.control import why_foreign
from shared.jobs.intents import intend
from shared.jobs.submissions import (
    Submission,
    give_back,
    note_attempt,
    note_cancel,
    note_not_taken,
    note_submitted,
    park_in_bulk,
    read_calls,
    read_foreign_jobs,
    read_job_of,
    read_known,
    read_left_by_rehearsals,
    read_orphans,
    read_unfinished,
    read_waiting_batches,
)
from shared.llm.bulk import BulkProblem, BulkProvider, BulkState, BulkStatus, Undecided
from shared.llm.models import split_model
from shared.llm.provider import LLMRequest, Outcome
from shared.llm.retry import STOPS_JOB
from shared.llm.stop import Draining, Stop
from workers.batch import Workshop
from workers.bulk_drafts import Drafts, draft
from workers.bulk_endings import Endings
from workers.bulk_lock import KeeperLock, LockLost, keeper_lock
from workers.bulk_patience import Patience
from workers.bulk_room import Room

log = structlog.get_logger()
T = TypeVar("T")

# Submissions that are attended to at the same time.
AT_ONCE = 4
# What is withdrawn is looked for so many settling times longer.
ORPHAN_FACTOR = 10
# What a provider has had and does not know is lost after so many settling times, an hour as a rule: rather than that it
# forgets anything, somebody has mistaken a key or an address, and notices.
LOST_FACTOR = 60
NOT_FOUND = 404


class BulkKeeper:
    """Attends to all submissions while it has the lock. It neither owns nor closes what it is given."""

    def __init__(self, shop: Workshop, providers: Mapping[str, BulkProvider]) -> None:
        self._shop = shop
        self._settings = shop.settings
        self._rehearsal = shop.settings.rehearsal
        self._providers = providers
        self._endings = Endings(shop)
        # Of submissions that no provider has been given: whoever intended them is the only one to know their prompts.
        self._requests: dict[SubmissionId, Sequence[LLMRequest]] = {}
        self._looked_for_since: dict[SubmissionId, float] = {}
        self._missed_since: dict[SubmissionId, float] = {}
        self._patience = Patience(shop.settings.bulk_poll_seconds)
        self._room = Room(shop.settings.bulk_poll_seconds)
        # Providers that were needed in this round, that this process has no key for and another worker has.
        self._for_others: set[str] = set()

    async def run(self, stop: Stop) -> None:
        """Keep whenever no other process does, until `stop` is set; without a key only where nobody has one.

        Who lacks a provider that was needed, and that another worker has, leaves the lock to others after each round,
        for one pause: so processes with different keys keep in turns.
        """
        with suppress(Draining):
            while True:
                try:
                    if self._providers or not await self._is_for_others(None):
                        await self._keep(stop)
                except (psycopg.OperationalError, OSError, LockLost) as error:
                    log.warning("bulk submissions not kept", error=first_line(error))
                except Draining:
                    raise
                except Exception as error:
                    if is_unreachable(error):
                        log.warning("bulk submissions not kept", error=first_line(error))
                    else:
                        log.exception("bulk submissions not kept")
                self._requests.clear()
                await stop.sleep(self._settings.bulk_poll_seconds)

    async def _keep(self, stop: Stop) -> None:
        async with keeper_lock(self._settings.session_database_url) as lock:
            if lock is None:
                self._missed_since.clear()  # whoever keeps may see what this process has not seen
            while lock is not None:
                await self.run_once(lock)
                if self._for_others or not self._providers:
                    return
                await stop.sleep(self._settings.bulk_poll_seconds)

    async def run_once(self, lock: KeeperLock) -> None:
        """Attend once to every submission that is not over, and intend what waits for it."""
        await lock.confirm()
        self._for_others.clear()
        self._room.begin_round()
        # Without a key this process neither rehearses nor has real models.
        has_a_kind = bool(self._providers)
        async with self._shop.engine.connect() as conn:
            foreign = await read_foreign_jobs(conn, rehearsal=self._rehearsal) if has_a_kind else []
            unfinished = await read_unfinished(conn, rehearsal=self._rehearsal)
            orphans = await read_orphans(
                conn, seconds=ORPHAN_FACTOR * self._settings.bulk_settle_seconds, rehearsal=self._rehearsal
            )
            left = await read_left_by_rehearsals(conn) if has_a_kind and not self._rehearsal else []
        # Nothing of theirs is looked for where it cannot be.
        for job_id in foreign:
            await self._endings.pause_job(job_id, why_foreign(rehearsal=not self._rehearsal))
        await self._each(self._forget_rehearsed, left)
        ids = {each.id for each in unfinished}
        self._requests = {each: requests for each, requests in self._requests.items() if each in ids}
        await self._each(lambda each: self._attend(lock, each), unfinished)
        await self._each(self._cancel_orphan, orphans)
        async with self._shop.engine.connect() as conn:
            waiting = await read_waiting_batches(conn, rehearsal=self._rehearsal)
        await self._each(lambda batch_id: self._take_up(lock, batch_id), waiting)

    async def _each(self, work: Callable[[T], Awaitable[None]], items: Sequence[T]) -> None:
        """One that goes wrong must not keep the others waiting."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(item: T) -> None:
            async with turns:
                try:
                    await work(item)
                except BulkProblem as problem:
                    log.warning("bulk submission: later", outcome=problem.outcome, detail=problem.detail)
                except LockLost:
                    raise
                except Exception as error:
                    if concerns_all(error):
                        raise
                    log.exception("bulk submission not attended to")

        for error in filter(None, await asyncio.gather(*map(one, items), return_exceptions=True)):
            raise error

    async def _forget_rehearsed(self, submission: Submission) -> None:
        """What a rehearsal server may have ends here: nothing was paid, and nobody will look at its job again."""
        await self._endings.withdraw(submission, "its job rehearsed and has ended, and the workers have real models")

    async def _attend(self, lock: KeeperLock, submission: Submission) -> None:
        names = {"job": str(submission.job_id), "batch_id": str(submission.batch_id)}
        with structlog.contextvars.bound_contextvars(submission=str(submission.id), **names):
            await self._attend_to(lock, submission)

    async def _attend_to(self, lock: KeeperLock, submission: Submission) -> None:
        provider = self._providers.get(submission.provider)
        if provider is None:
            elsewhere = await self._is_for_others(submission.provider)
            log.warning(
                "no key for a bulk submission", provider=submission.provider, id=str(submission.id), elsewhere=elsewhere
            )
        elif submission.state is SubmissionState.SUBMITTED:
            await self._look(provider, submission)
        elif submission.since_attempt is not None:
            await self._find(provider, submission)
        else:
            requests = self._requests.get(submission.id)
            if requests is None or not submission.is_wanted or submission.job_state is not JobState.RUNNING:
                await self._endings.withdraw(submission, "it was intended, and never submitted")
            else:
                await self._submit(lock, provider, submission, requests)

    async def _submit(
        self, lock: KeeperLock, provider: BulkProvider, submission: Submission, requests: Sequence[LLMRequest]
    ) -> None:
        if self._patience.is_waiting(provider.name):
            return
        if not await self._transaction(lambda conn: note_attempt(conn, submission.id), what="attempt"):
            return
        await lock.confirm()
        try:
            status = await provider.submit(submission.id, requests)
        except BulkProblem as problem:
            log.warning("bulk submission refused", outcome=problem.outcome, detail=problem.detail)
            self._patience.note(provider.name, problem)
            if problem.maybe_submitted:
                self._requests.pop(submission.id, None)  # it is looked for from now on
            else:
                await self._transaction(lambda conn: note_not_taken(conn, submission.id), what="not taken")
                await self._endings.refuse(submission, problem)
            return
        self._patience.reset(provider.name)
        self._requests.pop(submission.id, None)
        log.info("submitted in bulk", id=str(submission.id), provider_id=status.provider_id, requests=len(requests))
        await self._keep_id(provider, submission, status)

    async def _keep_id(self, provider: BulkProvider, submission: Submission, status: BulkStatus) -> None:
        kept = await self._transaction(
            lambda conn: note_submitted(conn, submission.id, status.provider_id, status.detail), what="keep id"
        )
        self._looked_for_since.pop(submission.id, None)
        if not kept:  # another keeper has given the intent up, or found another submission for it
            await provider.cancel(status.provider_id)

    async def _find(self, provider: BulkProvider, submission: Submission) -> None:
        """Adopt it if the provider has it; it is certain that it does not only after a while."""
        now = asyncio.get_running_loop().time()
        began = self._looked_for_since.setdefault(submission.id, now)
        self._room.note_unanswered(submission.model)
        found = await self._search(provider, submission)
        if isinstance(found, BulkStatus):
            log.info("bulk submission found again", id=str(submission.id), provider_id=found.provider_id)
            await self._keep_id(provider, submission, found)
        elif found is None and now - began >= self._settings.bulk_settle_seconds:
            await self._endings.withdraw(submission, "its submission was cut off, and the provider does not have it")
            self._looked_for_since.pop(submission.id, None)

    async def _search(self, provider: BulkProvider, submission: Submission) -> BulkStatus | Undecided | None:
        async with self._shop.engine.connect() as conn:
            known = await read_known(conn, provider.name)
            calls = await read_calls(conn, submission.id)
        return await provider.find(submission.id, since=submission.created_at, call_ids=calls.keys(), known=known)

    async def _cancel_orphan(self, submission: Submission) -> None:
        """A submission that turned up after it was given up: its calls have been made anew."""
        provider, provider_id = self._providers.get(submission.provider), submission.provider_id
        if provider is None:
            await self._is_for_others(submission.provider)
            return
        if provider_id is None and isinstance(found := await self._search(provider, submission), BulkStatus):
            provider_id = found.provider_id
        if provider_id is None:
            return
        try:
            await provider.cancel(provider_id)
        except BulkProblem as problem:
            if problem.http_status == NOT_FOUND:
                return  # it is still not known
            raise
        log.warning("bulk submission cancelled: it came too late", provider_id=provider_id)
        await self._transaction(lambda conn: note_cancel(conn, submission.id), what="note cancel")

    async def _look(self, provider: BulkProvider, submission: Submission) -> None:
        provider_id = submission.provider_id or ""
        try:
            if not submission.is_wanted and submission.cancel_asked_at is None:
                status = await provider.cancel(provider_id)
                await self._transaction(lambda conn: note_cancel(conn, submission.id), what="note cancel")
            else:
                status = await provider.look(provider_id)
            if status.state is BulkState.ENDED:
                await self._endings.settle(provider, submission, status)
        except UnusableModel as error:
            # The results wait at the provider until this process knows their price.
            await self._endings.pause_job(submission.job_id, error.detail)
            return
        except BulkProblem as problem:
            if problem.http_status == NOT_FOUND:
                await self._missed(submission, problem)
                return
            if problem.outcome in STOPS_JOB:
                await self._endings.pause_job(submission.job_id, STOPS_JOB[problem.outcome])
            raise
        self._missed_since.pop(submission.id, None)
        if status.state is BulkState.FAILED:
            await self._failed(submission, status)
        elif status.state is BulkState.ENDED:
            self._room.note_ended(submission.model)
        elif not status.requests:
            self._room.note_unanswered(submission.model)

    async def _missed(self, submission: Submission, problem: BulkProblem) -> None:
        """The provider does not know it, or its results; that is believed only after a while."""
        now = asyncio.get_running_loop().time()
        if now - self._missed_since.setdefault(submission.id, now) < LOST_FACTOR * self._settings.bulk_settle_seconds:
            log.warning(
                "bulk submission not known to the provider: are key and base URL those that it was submitted with?",
                provider_id=submission.provider_id,
                detail=problem.detail,
            )
        else:  # what it was paid for nobody can tell
            why = f"the provider does not know it any more: {problem.detail}"
            await self._endings.fail(submission, why, Outcome.LOST)
            self._missed_since.pop(submission.id, None)

    async def _failed(self, submission: Submission, status: BulkStatus) -> None:
        """It was taken, and then refused as a whole."""
        problem = BulkProblem(status.outcome or Outcome.BAD_REQUEST, status.detail or "the provider does not say why")
        if problem.outcome.throttled:
            self._room.note_refused(submission.model, problem)
            await self._endings.turn_away(submission, problem)
        else:
            await self._endings.refuse(submission, problem)

    async def _take_up(self, lock: KeeperLock, batch_id: BatchId) -> None:
        """Intend and submit what a batch needs; or leave it to a worker, or give it up."""
        async with self._shop.engine.connect() as conn:
            job_id = await read_job_of(conn, batch_id)
        try:
            drafts = await draft(self._shop, batch_id)
        except UnusableModel as error:
            await self._endings.pause_job(job_id, error.detail)
            return
        if drafts is None:
            return
        if drafts.is_read_first:
            await self._transaction(lambda conn: give_back(conn, batch_id), what="give back")
        elif drafts.calls:
            await self._intend(lock, job_id, batch_id, drafts)
        elif drafts.hopeless:
            why = drafts.hopeless
            await self._transaction(lambda conn: park_in_bulk(conn, batch_id, why), what="park")

    async def _intend(self, lock: KeeperLock, job_id: JobId, batch_id: BatchId, drafts: Drafts) -> None:
        models = await self._models_of(drafts, job_id)
        calls = [call for call in drafts.calls if call.model in models]
        if not calls:
            return
        ids = {model: new_submission_id() for model in models}
        try:
            opened = await self._transaction(lambda conn: intend(conn, calls, ids), what="intend")
        except BudgetExhausted as error:
            if not error.fits_later:
                await self._endings.pause_job(job_id, error.detail, by_budget=True)
            return
        except IntegrityError:
            return  # another keeper was faster
        requests = drafts.requests or {}
        for submission_id in ids.values():
            its = [requests[call_id] for call_id, its_id in opened.items() if its_id == submission_id]
            if its:
                self._requests[submission_id] = its
        async with self._shop.engine.connect() as conn:
            intended = [
                each for each in await read_unfinished(conn, rehearsal=self._rehearsal) if each.id in self._requests
            ]
        for submission in intended:
            if submission.batch_id == batch_id:
                await self._attend(lock, submission)

    async def _is_for_others(self, name: str | None) -> bool:
        """Whether another worker has the key for a provider that this one has none for; noted for the round's end.

        None: for any.
        """
        async with self._shop.engine.connect() as conn:
            found = await self._shop.other_keys.may_be_there(conn, name, rehearsal=self._rehearsal)
        if found and name is not None and name not in self._for_others:
            log.warning("bulk submissions are left to a worker that has the key", provider=name)
            self._for_others.add(name)
        return found

    async def _models_of(self, drafts: Drafts, job_id: JobId) -> Sequence[str]:
        """Those that can be submitted now; what another worker has the key for is its part of the batch.

        None while a provider is left in peace, or when nobody has a key, for which the job is paused. What there is no
        room for now goes later.
        """
        models = []
        for model in sorted({call.model for call in drafts.calls}):
            name, _ = split_model(model)
            if name in self._providers:
                models.append(model)
            elif not await self._is_for_others(name):
                await self._endings.pause_job(job_id, NoProviderKey(model, name).detail)
                return ()
            if self._patience.is_waiting(name):
                return ()
        return [model for model in models if self._room.take(model)]

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]], *, what: str) -> T:
        return await in_transaction(self._shop.engine, work, what=what)
