"""Run one batch: claim it, make its calls, admit what they bring, finish it or give it back."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import structlog
from shared.corpus.admission import Candidate, admit, record_refusals
from shared.llm.caller import Caller, GivenUp, PromptCall, StopJob
from shared.questions.parsing import parse_questions
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.fingerprint import fingerprint
from shared.database.fence import confirm_hold
from shared.database.reconnect import until_reachable
from shared.errors import BudgetExhausted, FencedOff, JobNotRunning
from shared.ids import BatchId, DatasetId
from shared.jobs.claim import ClaimedBatch, Judged, claim, finish, record_judged, release
from shared.jobs.control import pause_if_running
from shared.jobs.reconcile import wake_reconciler
from shared.llm.ledger import StoredReply, book_abandoned_by, mark_parsed, settled_ordinals, unparsed_replies
from shared.llm.stop import Draining, Stop
from shared.questions.prompts import PromptTuple, draw_tuple, write_prompt
from shared.questions.quality import find_flaw
from shared.questions.tokens import count_tokens
from shared.settings import Settings
from workers.leases import LeaseKeeper

log = structlog.get_logger()
T = TypeVar("T")

# The avoid list of a prompt: the newest questions that this process saw admitted for the topic.
AVOID_PER_TOPIC = 6


class Ending(StrEnum):
    """How a task ended; Celery logs it and forgets it."""

    DONE = "done"  # every call is parsed or given up
    NOT_FREE = "not free"  # unknown, finished, held by another, or its job does not run
    RELEASED = "released"  # given back: the job was paused
    DRAINED = "drained"  # given back: this process is on its way out
    LOST = "lost"  # another worker holds it now, or the job was cancelled


@dataclass(slots=True)
class Workshop:
    """What all batches of a process share."""

    settings: Settings
    engine: AsyncEngine
    caller: Caller
    leases: LeaseKeeper
    name: str
    # One admission per dataset at a time: the advisory lock would make the others wait with a connection each.
    admitting: defaultdict[DatasetId, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    admitted_lately: defaultdict[tuple[str, str], deque[str]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=AVOID_PER_TOPIC))
    )


async def run_batch(shop: Workshop, batch_id: BatchId, stop: Stop) -> Ending:
    """Do a batch's work as far as it goes. `stop` is set from outside when this process drains."""
    if stop.is_set:
        return Ending.DRAINED
    settings = shop.settings

    async def claim_it(conn: AsyncConnection) -> ClaimedBatch | None:
        return await claim(
            conn,
            batch_id,
            worker=shop.name,
            lease_seconds=settings.lease_seconds,
            max_attempts=settings.max_attempts,
        )

    batch = await _in_transaction(shop.engine, claim_it, what="claim")
    if batch is None:
        return Ending.NOT_FREE
    label = f"{batch.dataset} {batch.cell} #{batch.number:04}"
    with structlog.contextvars.bound_contextvars(batch=label), shop.leases.keep(batch.hold, stop):
        return await BatchRun(shop, batch, stop).run()


class BatchRun:
    """One hold on one batch, from claim to release."""

    def __init__(self, shop: Workshop, batch: ClaimedBatch, stop: Stop) -> None:
        self._shop = shop
        self._batch = batch
        self._hold = batch.hold
        self._stop = stop
        self._ended_early: Ending | None = None

    async def run(self) -> Ending:
        """Re-read what is already paid for, call for the rest, then finish or give back."""
        try:
            ordinals = await self._open()
            # Never cancelled: a call in flight is paid for, so its reply is always waited for and kept.
            await asyncio.gather(*(self._work_on(ordinal) for ordinal in ordinals))
            if self._ended_early is None:
                await self._transaction(self._finish, what="finish")
        except (FencedOff, JobNotRunning) as error:
            self._end_early(Ending.LOST, str(error))
        if self._ended_early in (Ending.RELEASED, Ending.DRAINED):
            await self._transaction(lambda conn: release(conn, self._hold), what="release")
        return self._ended_early or Ending.DONE

    async def _open(self) -> list[int]:
        """Settle what the holder before left behind; returns the ordinals that still need a call."""

        async def take_over(conn: AsyncConnection) -> tuple[list[StoredReply], set[int]]:
            await book_abandoned_by(conn, self._hold)
            return await unparsed_replies(conn, self._hold), await settled_ordinals(conn, self._hold)

        stored, settled = await self._transaction(take_over, what="take over")
        for reply in stored:
            await self._judge(reply)
        done = settled | {reply.ordinal for reply in stored}
        first = self._batch.first_ordinal
        return [ordinal for ordinal in range(first, first + self._batch.calls) if ordinal not in done]

    async def _work_on(self, ordinal: int) -> None:
        """One prompt, from its tuple to its admitted questions."""
        if self._ended_early is not None:
            return
        try:
            reply = await self._shop.caller.call(self._hold, self._prompt(ordinal), stop=self._stop)
            await self._judge(reply)
        except GivenUp as given_up:
            await self._give_up(given_up)
        except Draining:
            self._end_early(Ending.DRAINED, "draining")
        except (FencedOff, JobNotRunning) as error:
            ending = Ending.RELEASED if "paused" in str(error) else Ending.LOST
            self._end_early(ending, str(error))
        except BudgetExhausted as error:
            await pause_if_running(self._shop.engine, self._hold.job_id, error.detail)
            self._end_early(Ending.RELEASED, error.detail)
        except StopJob as error:
            await pause_if_running(self._shop.engine, self._hold.job_id, error.reason)
            self._end_early(Ending.RELEASED, error.reason)

    def _end_early(self, ending: Ending, why: str) -> None:
        """Start nothing more; the first reason counts."""
        if self._ended_early is None:
            self._ended_early = ending
            self._stop.set()
            log.info("batch ends early", ending=ending, why=why)

    def _tuple(self, ordinal: int) -> PromptTuple:
        return draw_tuple(self._batch.seed, self._batch.cell, ordinal)

    def _prompt(self, ordinal: int) -> PromptCall:
        drawn = self._tuple(ordinal)
        avoid = tuple(self._shop.admitted_lately[drawn.domain, drawn.topic])
        prompt = write_prompt(
            drawn, questions=self._batch.questions_per_call, mean_tokens=self._batch.mean_tokens, avoid=avoid
        )
        return PromptCall(
            ordinal=ordinal,
            model=self._batch.model,
            system=prompt.system,
            user=prompt.user,
            schema=prompt.schema,
            schema_name=prompt.schema_name,
            max_output_tokens=prompt.max_output_tokens,
            record={
                **drawn.to_json(),
                "version": prompt.version,
                "questions": self._batch.questions_per_call,
                "avoid": list(avoid),
            },
        )

    async def _judge(self, reply: StoredReply) -> None:
        """Parse a stored reply and admit what is new, in one fenced transaction that has its effect once."""
        parsed = parse_questions(reply.text, cut=reply.cut)
        refused: list[tuple[str, str]] = []
        candidates: list[Candidate] = []
        drawn = self._tuple(reply.ordinal)
        for question in parsed.questions:
            tokens = count_tokens(question)
            if flaw := find_flaw(question, tokens, self._batch.mean_tokens):
                refused.append((flaw, question))
            else:
                tags = (drawn.topic, drawn.subtopic, drawn.form)
                candidates.append(Candidate(question, tokens, tags, fingerprint(question)))
        repairs = Counter(parsed.repairs)
        if parsed.problem is not None:
            repairs["unreadable"] += 1

        async def admit_once(conn: AsyncConnection) -> list[str]:
            await confirm_hold(conn, self._hold)
            admission = await admit(
                conn,
                self._hold,
                cell=self._batch.cell,
                call_id=reply.call_id,
                model=self._batch.model,
                candidates=candidates,
                template_cap=self._shop.settings.template_cap,
            )
            await record_refusals(conn, self._hold.job_id, reply.call_id, refused)
            reasons = Counter([reason for reason, _ in refused] + [str(each.reason) for each in admission.refused])
            judged = Judged(
                generated=len(parsed.questions),
                admitted=len(admission.admitted),
                parsed=1,
                rejected=reasons,
                repaired=repairs,
            )
            if not await mark_parsed(conn, reply.call_id, generated=judged.generated, admitted=judged.admitted):
                # FAULTS 18: the transaction before this one was committed although its connection broke.
                await conn.rollback()
                return []
            await record_judged(conn, self._hold, judged)
            refused_texts = {each.candidate.text for each in admission.refused}
            return [each.text for each in candidates if each.text not in refused_texts]

        async with self._shop.admitting[self._hold.dataset_id]:
            admitted = await self._transaction(admit_once, what="admit")
        self._shop.admitted_lately[drawn.domain, drawn.topic].extend(admitted[:2])

    async def _give_up(self, given_up: GivenUp) -> None:
        """Count a prompt that brought nothing; its deficit gets another one."""
        log.warning("prompt given up", ordinal=given_up.ordinal, reason=given_up.reason)

        async def record(conn: AsyncConnection) -> None:
            await confirm_hold(conn, self._hold)
            await record_judged(conn, self._hold, Judged(given_up=1))

        await self._transaction(record, what="give up")

    async def _finish(self, conn: AsyncConnection) -> None:
        await finish(conn, self._hold)
        await wake_reconciler(conn)

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]], *, what: str) -> T:
        return await _in_transaction(self._shop.engine, work, what=what)


async def _in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]], *, what: str) -> T:
    async def once() -> T:
        async with engine.begin() as conn:
            return await work(conn)

    return await until_reachable(once, what=what)
