"""Takes in what the replies of this process say about questions: of one job and stage together, in one fenced
transaction that has its effect once.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.at_hand import Origin, Outcome, Waiting, lock_questions, note_no_use, read_waiting
from shared.corpus.stages import StageTerms
from shared.database.fence import confirm_holds, fenced_off
from shared.database.grouped import Grouped
from shared.database.reconnect import in_transaction
from shared.ids import CallId, JobId, QuestionId
from shared.jobs.claim import Judged, record_judged
from shared.llm.ledger import mark_parsed

Result = TypeVar("Result")
# So long replies wait for each other at most: the fuller a transaction is, the less each of them costs.
PACE_SECONDS = 0.05
MOST_REPLIES = 32


@dataclass(frozen=True, slots=True)
class ReadResults(Generic[Result]):
    """What one reply says about the questions that it was asked about, or that it says nothing.

    `results` are taken in as coming from `origin`; the questions `without` any are asked about again or, when that was
    tried often enough, rejected: `why_not`. `refused` are results that were not taken, by reason.
    """

    origin: Origin
    terms: StageTerms
    asked: Sequence[QuestionId]
    results: Mapping[QuestionId, Result] = field(default_factory=dict)
    why_not: str = ""
    repairs: Collection[str] = ()
    refused: Counter[str] = field(default_factory=Counter)
    given_up: bool = False

    @property
    def without(self) -> list[QuestionId]:
        """The questions that the reply brings nothing for."""
        return [each for each in self.asked if each not in self.results]


Left = Mapping[QuestionId, Waiting]


class Taker(ABC, Generic[Result]):
    """The one place of a process from which a stage's results get into the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._grouped: Grouped[JobId, ReadResults[Result], Left] = Grouped(
            self._take_together, pace_seconds=PACE_SECONDS, most=MOST_REPLIES
        )

    async def take(self, read: ReadResults[Result]) -> Left:
        """What is left to ask about the reply's questions, once what it brought is committed; again is harmless.

        Waits for a database that is away. Raises JobNotRunning, or FencedOff for a stale hold.
        """
        return await self._grouped(read.origin.hold.job_id, read)

    @abstractmethod
    async def keep(self, conn: AsyncConnection, reads: Sequence[ReadResults[Result]]) -> None:
        """Write the results of these replies; what is there already stays."""

    @abstractmethod
    async def settle(self, conn: AsyncConnection, question_ids: list[QuestionId], terms: StageTerms) -> Outcome:
        """Be done with the questions that have all their results."""

    async def _take_together(self, job_id: JobId, reads: Sequence[ReadResults[Result]]) -> list[Left | Exception]:
        async def within(conn: AsyncConnection) -> dict[CallId, Left]:
            standing = await confirm_holds(conn, job_id, [read.origin.hold for read in reads])
            held = [read for read in reads if read.origin.hold in standing]
            # FAULTS 18: what was marked before was taken in by a COMMIT that got through.
            marked = await mark_parsed(conn, [read.origin.call_id for read in held])
            await lock_questions(conn, {question_id for read in held for question_id in read.asked})
            if due := [read for read in held if read.origin.call_id in marked]:
                await self._take_in(conn, due)
            return await _what_is_left(conn, held)

        left = await in_transaction(self._engine, within, what="take in")
        return [left.get(read.origin.call_id, fenced_off(read.origin.hold)) for read in reads]

    async def _take_in(self, conn: AsyncConnection, reads: Sequence[ReadResults[Result]]) -> None:
        if any(read.results for read in reads):
            await self.keep(conn, [read for read in reads if read.results])
        settled: dict[QuestionId, tuple[bool, str]] = {}
        for terms, together in _by_terms(reads).items():
            ids = sorted({question_id for read in together for question_id in read.results})
            settled |= _told(await self.settle(conn, ids, terms)) if ids else {}
        judged = []
        for read in reads:
            asked_again: Collection[QuestionId] = ()
            if read.without:
                lost = await note_no_use(conn, read.without, read.terms, read.why_not)
                asked_again = lost.no_use
                settled |= _told(lost)
            # A question that two of these replies are about counts for the first.
            own = {question_id: settled.pop(question_id) for question_id in read.asked if question_id in settled}
            judged.append(_judged(read, own, len(asked_again)))
        await record_judged(conn, judged)


async def _what_is_left(conn: AsyncConnection, reads: Sequence[ReadResults[Result]]) -> dict[CallId, Left]:
    left: dict[CallId, Left] = {}
    for terms, together in _by_terms(reads).items():
        ids = sorted({question_id for read in together for question_id in read.asked})
        waiting = await read_waiting(conn, ids, terms)
        for read in together:
            left[read.origin.call_id] = {each: waiting[each] for each in read.asked if each in waiting}
    return left


def _by_terms(reads: Sequence[ReadResults[Result]]) -> dict[StageTerms, list[ReadResults[Result]]]:
    """Replies of different difficulties may be under different terms."""
    by_terms: dict[StageTerms, list[ReadResults[Result]]] = {}
    for read in reads:
        by_terms.setdefault(read.terms, []).append(read)
    return by_terms


def _told(outcome: Outcome) -> dict[QuestionId, tuple[bool, str]]:
    """Which questions the stage is done with: whether they passed, and the reason they count under if not."""
    passed = dict.fromkeys(outcome.passed, (True, ""))
    return passed | {question_id: (False, reason) for question_id, reason in (outcome.rejected or {}).items()}


def _judged(read: ReadResults[Result], settled: Mapping[QuestionId, tuple[bool, str]], asked_again: int) -> Judged:
    rejected = Counter(reason for passed, reason in settled.values() if not passed)
    return Judged(
        read.origin.hold,
        read.origin.call_id,
        generated=len(settled),
        admitted=sum(passed for passed, _ in settled.values()),
        parsed=0 if read.given_up else 1,
        given_up=1 if read.given_up else 0,
        rejected=rejected + read.refused,
        repaired=Counter(map(str, read.repairs)) + Counter({"asked again": asked_again}),
    )
