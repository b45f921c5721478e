"""Run one batch: claim it, make its calls, admit what they bring, finish it or give it back."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.database.reconnect import in_transaction, until_reachable
from shared.database.states import JobState, Stage
from shared.errors import BudgetExhausted, FencedOff, JobNotRunning, NoProviderKey, UnusableModel
from shared.ids import BatchId, JobId
from shared.jobs.claim import ClaimedBatch, claim, finish, release
from shared.jobs.control import pause_if_running, why_foreign
from shared.jobs.incidents import note_fenced_off
from shared.jobs.reconcile import wake_reconciler
from shared.llm.caller import Caller, FinishedCall
from shared.llm.in_vain import calls_in_vain
from shared.llm.ledger import StoredReply, book_unknown, parsed_ordinals, unparsed_replies
from shared.llm.provider import Outcome
from shared.llm.retry import GiveUp, RetryPolicy, judge_attempts
from shared.llm.stop import Draining, Stop
from shared.settings import Settings
from shared.tracing import span
from workers.admitter import MOST_REPLIES, Admitter
from workers.answering import Answering, AnswerTaker
from workers.drain import is_draining
from workers.generation import AdmittedLately, Generation
from workers.leases import LeaseKeeper
from workers.other_keys import OtherKeys
from workers.stage_work import Ask, Reply, StageWork, stored
from workers.validation import Validation, VerdictTaker

log = structlog.get_logger()
T = TypeVar("T")

# How long a call waits for others to give back what they hold of the budget.
BUDGET_LOOK_SECONDS = 0.5
# How long all calls of a batch wait for that in vain. Those under way give it back within seconds; what is in bulk may
# take a day, for which no place in a worker is kept.
BUDGET_WAIT_SECONDS = 30.0


class Ending(StrEnum):
    """How a task ended; Celery logs it and forgets it."""

    DONE = "done"  # every call is parsed or given up
    NOT_FREE = "not free"  # unknown, finished, held by another, or its job does not run
    RELEASED = "released"  # given back: the job was paused
    DRAINED = "drained"  # given back: this process is on its way out
    TO_SUBMIT = "to be submitted"  # given back: what is left goes in bulk
    FOR_OTHERS = "for others"  # given back: this worker has no key for its model, another one has
    FOR_MONEY = "for money"  # given back: what is left of the budget is held for other calls
    LOST = "lost"  # another worker holds it now, or the job was cancelled


@dataclass(slots=True)
class Workshop:
    """What all batches of a process share."""

    settings: Settings
    engine: AsyncEngine
    caller: Caller
    leases: LeaseKeeper
    admitter: Admitter
    name: str
    other_keys: OtherKeys
    # The runs of this process by job, so that what stops the job stops all of them at once; and the pauses of jobs that
    # are being written, before whose end no batch goes back, to be claimed again at once.
    runs: defaultdict[JobId, set["BatchRun"]] = field(default_factory=lambda: defaultdict(set))
    pauses: dict[JobId, asyncio.Task[None]] = field(default_factory=dict)
    admitted_lately: AdmittedLately = field(default_factory=AdmittedLately)
    verdicts: VerdictTaker = field(init=False)
    answers: AnswerTaker = field(init=False)

    def __post_init__(self) -> None:
        """What is taken in together is so for the whole process."""
        self.verdicts, self.answers = VerdictTaker(self.engine), AnswerTaker(self.engine)


async def run_batch(shop: Workshop, batch_id: BatchId, stop: Stop) -> Ending:
    """Do a batch's work as far as it goes. `stop` is set from outside when this process drains."""
    if stop.is_set:
        return Ending.DRAINED
    settings = shop.settings
    batch: ClaimedBatch | None = None

    async def claim_it(conn: AsyncConnection) -> ClaimedBatch | None:
        nonlocal batch
        batch = await claim(
            conn,
            batch_id,
            worker=shop.name,
            lease_seconds=settings.lease_seconds,
            max_attempts=settings.max_attempts,
            earlier=batch,
        )
        return batch

    batch = await in_transaction(shop.engine, claim_it, what="claim")
    if batch is None:
        return Ending.NOT_FREE
    label = f"{batch.dataset} {batch.cell} #{batch.number:04}"
    names = {"job": str(batch.hold.job_id), "batch_id": str(batch_id), "stage": str(batch.stage)}
    with (
        structlog.contextvars.bound_contextvars(batch=label, **names),
        span(f"batch {batch.stage}", {**names, "batch": label}, parent=batch.traceparent) as traced,
        shop.leases.keep(batch.hold, stop),
    ):
        ending = await BatchRun(shop, batch, stop).run()
        log.info("batch ended", ending=ending, attempts=batch.attempts)
        traced.note(ending=ending)
        return ending


class BatchRun:
    """One hold on one batch, from claim to release."""

    def __init__(self, shop: Workshop, batch: ClaimedBatch, stop: Stop) -> None:
        self._shop = shop
        self._batch = batch
        self._hold = batch.hold
        self._work = work_of(shop, batch)
        self._stop = stop
        self._ended_early: Ending | None = None
        self._called_at = -math.inf
        self._asking_for_others = asyncio.Lock()

    async def run(self) -> Ending:
        """Re-read what is already paid for, call for the rest, then finish or give back."""
        runs = self._shop.runs[self._hold.job_id]
        runs.add(self)
        if self._hold.job_id in self._shop.pauses:
            self._end_early(Ending.RELEASED, "the job is being paused")
        try:
            return await self._run()
        finally:
            runs.discard(self)
            if not runs:
                self._shop.runs.pop(self._hold.job_id, None)

    async def _run(self) -> Ending:
        try:
            ordinals = await self._open()
            if ordinals and self._is_foreign():
                await self._pause_job(why_foreign(rehearsal=self._batch.rehearsal))
            elif self._batch.bulk:
                ordinals = await self._leave_for_bulk(ordinals)
            # Never cancelled: a call in flight is paid for, so its reply is always waited for and kept.
            endings = await asyncio.gather(*map(self._work_on, ordinals), return_exceptions=True)
            for error in filter(None, endings):
                # Not released: the lease runs out and the attempt counts, so a batch that always fails is parked.
                raise error
            if self._ended_early is None:
                await self._finish()
        except JobNotRunning as error:
            self._end_early(Ending.LOST, error.detail)
        except FencedOff as error:
            await self._fenced_off(error)
        except Draining:
            self._drained()
        if self._ended_early is not None:
            if (pause := self._shop.pauses.get(self._hold.job_id)) is not None:
                await pause
            # What is held no longer is not given back: the fence sees to that.
            in_bulk = self._ended_early is Ending.TO_SUBMIT
            # Hinted at once it would come back to this worker, which is free, rather than to one that is busy. So it
            # comes to one without the key at most once for each QUESTMILL_HINT_REPEAT_SECONDS; nor is there money yet.
            rests = self._ended_early in {Ending.FOR_OTHERS, Ending.FOR_MONEY}
            await self._transaction(
                lambda conn: release(conn, self._hold, in_bulk=in_bulk, rests=rests), what="release"
            )
        return self._ended_early or Ending.DONE

    def _is_foreign(self) -> bool:
        """Whether it rehearses and this worker does not, or the other way round; without a key it does neither."""
        shop = self._shop
        return self._batch.rehearsal is not shop.settings.rehearsal and bool(shop.caller.provider_names)

    async def _open(self) -> Sequence[int]:
        """Settle what the holder before left behind; returns the ordinals that still need a call."""

        async def take_over(conn: AsyncConnection) -> tuple[list[StoredReply], set[int]]:
            await book_unknown(conn, batch_id=self._hold.batch_id)
            return await unparsed_replies(conn, self._hold), await parsed_ordinals(conn, self._hold)

        unread, done = await self._transaction(take_over, what="take over")
        await self._judge_stored(unread)
        done |= {reply.ordinal for reply in unread}
        await self._transaction(lambda conn: self._work.open(conn, done), what="open")
        return self._work.ordinals()

    async def _judge_stored(self, unread: Sequence[StoredReply]) -> None:
        """Many at once: they are written together."""
        for first in range(0, len(unread), MOST_REPLIES):
            self._stop.check()
            together = [self._work.judge(stored(reply)) for reply in unread[first : first + MOST_REPLIES]]
            for error in filter(None, await asyncio.gather(*together, return_exceptions=True)):
                raise error

    async def _leave_for_bulk(self, ordinals: Sequence[int]) -> Sequence[int]:
        """Draw the conclusions from calls in vain; when anything is left, the batch goes back to be submitted."""
        in_vain = await self._transaction(lambda conn: calls_in_vain(conn, self._hold), what="calls in vain")
        policy, given_up = RetryPolicy(attempts=self._shop.settings.call_attempts), False
        for ordinal in ordinals:
            attempts = in_vain.get(ordinal, [])
            if attempts and (verdict := judge_attempts([each.outcome for each in attempts], policy)) is not None:
                last = attempts[-1]
                log.warning("prompt given up", call=str(last.call_id), reason=verdict.reason)
                await self._work.give_up(last.call_id, ordinal, last.prompt, verdict.reason)
                given_up = True
        if given_up:
            ordinals = await self._open()
        if ordinals:
            self._end_early(Ending.TO_SUBMIT, f"{len(ordinals)} calls are left")
        return ()

    async def _work_on(self, ordinal: int) -> None:
        """One prompt after another, from what is asked to what is kept of the reply, until nothing is left to ask."""
        try:
            while self._ended_early is None and (ask := self._work.ask(ordinal)) is not None:
                await self._take_one(ordinal, ask)
        except Draining:
            self._drained()
        except JobNotRunning as error:
            # Paused: the batch goes back. Cancelled or failed: it is no longer ours.
            self._end_early(Ending.RELEASED if error.state == JobState.PAUSED else Ending.LOST, error.detail)
        except FencedOff as error:
            await self._fenced_off(error)
        except BudgetExhausted as error:
            await self._pause_job(error.detail, by_budget=True)
        except NoProviderKey as error:
            await self._leave_to_others(error)
        except UnusableModel as error:
            await self._pause_job(error.detail)

    async def _take_one(self, ordinal: int, ask: Ask) -> None:
        finished = await self._call(ordinal, ask)
        if finished.verdict is None:
            cut = finished.reply.outcome is Outcome.CUT
            await self._work.judge(Reply(finished.call_id, ordinal, finished.reply.text, cut, ask.record))
        elif isinstance(finished.verdict, GiveUp):
            log.warning("prompt given up", call=str(finished.call_id), reason=finished.verdict.reason)
            await self._work.give_up(finished.call_id, ordinal, ask.record, finished.verdict.reason)
        else:
            await self._pause_job(finished.verdict.reason)

    async def _call(self, ordinal: int, ask: Ask) -> FinishedCall:
        began = monotonic()
        while True:
            try:
                finished = await self._shop.caller.call(
                    self._hold,
                    ordinal=ordinal,
                    prompt=ask.prompt,
                    prompt_record=ask.record,
                    model=ask.model,
                    stop=self._stop,
                )
            except BudgetExhausted as error:
                # Worst cases are several times the price: near the wall the last calls go one after the other.
                if not error.fits_later:
                    raise
                if monotonic() - max(began, self._called_at) >= BUDGET_WAIT_SECONDS:
                    self._end_early(Ending.FOR_MONEY, error.detail)
            else:
                self._called_at = monotonic()
                return finished
            await self._stop.sleep(BUDGET_LOOK_SECONDS)

    async def _leave_to_others(self, error: NoProviderKey) -> None:
        """Who has the key goes on with the batch; where nobody has, a person must bring it."""

        async def ask(conn: AsyncConnection) -> bool:
            return await self._shop.other_keys.may_be_there(conn, error.provider, rehearsal=self._batch.rehearsal)

        async with self._asking_for_others:
            if self._ended_early is not None:
                return
            if await self._transaction(ask, what="look for the key"):
                self._end_early(Ending.FOR_OTHERS, error.detail)
            else:
                await self._pause_job(error.detail)

    async def _pause_job(self, reason: str, *, by_budget: bool = False) -> None:
        """What no other prompt would fare better with: a person must act before anything more is spent."""
        job_id, pauses = self._hold.job_id, self._shop.pauses
        # At once, here: until the pause is committed, the other batches would go on.
        for run in tuple(self._shop.runs[job_id]):
            run._end_early(Ending.RELEASED, reason)  # noqa: SLF001 - of the same class
        if job_id not in pauses:
            pauses[job_id] = asyncio.create_task(self._write_pause(reason, by_budget=by_budget))
            pauses[job_id].add_done_callback(lambda _: pauses.pop(job_id))
        await pauses[job_id]

    async def _write_pause(self, reason: str, *, by_budget: bool) -> None:
        async def pause() -> bool:
            return await pause_if_running(self._shop.engine, self._hold.job_id, reason, by_budget=by_budget)

        await until_reachable(pause, what="pause job")

    def _drained(self) -> None:
        """The flag is set by a drain of the process or by a lost lease."""
        if is_draining():
            self._end_early(Ending.DRAINED, "this process is on its way out")
        else:
            self._end_early(Ending.LOST, "the lease was lost")

    async def _fenced_off(self, error: FencedOff) -> None:
        """FAULTS 5: another worker has the batch; say so, and write nothing more for it."""
        self._end_early(Ending.LOST, error.detail)
        await self._transaction(
            lambda conn: note_fenced_off(conn, self._hold, worker=self._shop.name), what="note fenced off"
        )

    def _end_early(self, ending: Ending, why: str) -> None:
        """Start nothing more; the first reason counts."""
        if self._ended_early is None:
            self._ended_early = ending
            self._stop.set()
            log.info("batch ends early", ending=ending, why=why)

    async def _finish(self) -> None:
        """End the batch; a reply that the holder before recorded meanwhile is paid for and read first. Promise 4."""

        async def finish_unless_late(conn: AsyncConnection) -> list[StoredReply]:
            late = await unparsed_replies(conn, self._hold)
            if not late:
                await finish(conn, self._hold)
                await wake_reconciler(conn)
            return late

        while late := await self._transaction(finish_unless_late, what="finish"):
            await self._judge_stored(late)

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]], *, what: str) -> T:
        return await in_transaction(self._shop.engine, work, what=what)


def work_of(shop: Workshop, batch: ClaimedBatch) -> StageWork:
    """What the batch's stage has to say."""
    if batch.stage is Stage.VALIDATE:
        return Validation(batch, shop.engine, shop.verdicts)
    if batch.stage is Stage.ANSWER:
        return Answering(batch, shop.engine, shop.answers)
    return Generation(batch, shop.admitter, shop.admitted_lately)
