"""Admits what the replies of this process brought: of one job together, in one fenced transaction that has its effect
once.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.admission import Admission, Candidate, CandidateReply, admit, find_ahead
from shared.corpus.fingerprint import fingerprint_many
from shared.corpus.lookup import FoundAhead
from shared.database.fence import Hold, confirm_holds, fenced_off
from shared.database.grouped import Grouped
from shared.database.reconnect import until_reachable
from shared.ids import CallId, DatasetId, JobId, QuestionId
from shared.jobs.claim import Judged, record_judged
from shared.llm.ledger import mark_parsed
from shared.planning.mix import Cell

# Admissions of one dataset take turns; the fuller each is, the less each reply costs. So long they wait at most.
PACE_SECONDS = 0.1
MOST_REPLIES = 64
# So long after an admission of its own a process looks ahead of the next one: what others admitted since is little.
LOOK_AHEAD_SECONDS = 5.0
MOST_DATASETS = 100


@dataclass(frozen=True, slots=True)
class ReadReply:
    """A reply that was parsed. `usable` are its questions with their tokens, `flawed` those refused: (reason, text)."""

    hold: Hold
    cell: Cell
    call_id: CallId
    model: str
    tags: tuple[str, ...]
    usable: Sequence[tuple[str, int]]
    flawed: Sequence[tuple[str, str]]
    repaired: Counter[str]


# The new questions of each reply, by its hold and call.
Admitted = dict[tuple[Hold, CallId], list[str]]


class Admitter:
    """The one place of a process from which questions get into the database."""

    def __init__(self, engine: AsyncEngine, *, template_cap: int) -> None:
        self._engine = engine
        self._template_cap = template_cap
        # By dataset, the newest question that this process has admitted, and when.
        self._newest: dict[DatasetId, tuple[QuestionId, float]] = {}
        self._grouped = Grouped(self._admit_together, pace_seconds=PACE_SECONDS, most=MOST_REPLIES)

    async def admit(self, read: ReadReply) -> list[str]:
        """The questions of this reply that are new, once they are committed; none if that was done before.

        Waits for a database that is away. Raises JobNotRunning, or FencedOff for a stale hold.
        """
        return await self._grouped(read.hold.job_id, read)

    async def _admit_together(self, job_id: JobId, reads: Sequence[ReadReply]) -> list[list[str] | Exception]:
        replies = _with_fingerprints(reads)

        async def once() -> Admitted:
            ahead = await self._look_ahead(replies)
            async with self._engine.begin() as conn:
                admitted, newest = await self._admit_within(conn, job_id, reads, replies, ahead)
            self._note_newest(replies[0].hold.dataset_id, newest)
            return admitted

        admitted = await until_reachable(once, what="admit")
        return [admitted.get((read.hold, read.call_id), fenced_off(read.hold)) for read in reads]

    async def _look_ahead(self, replies: Sequence[CandidateReply]) -> FoundAhead | None:
        """The lookup for all of them, as long as this process knows how far the dataset was lately."""
        dataset_id = replies[0].hold.dataset_id
        newest, at = self._newest.get(dataset_id, (None, 0.0))
        if newest is None or time.monotonic() - at > LOOK_AHEAD_SECONDS:
            return None
        async with self._engine.begin() as conn:
            return await find_ahead(conn, dataset_id, replies, up_to=newest)

    def _note_newest(self, dataset_id: DatasetId, newest: QuestionId | None) -> None:
        """Only of what is committed."""
        if newest is not None:
            self._newest[dataset_id] = newest, time.monotonic()
            if len(self._newest) > MOST_DATASETS:
                del self._newest[next(iter(self._newest))]  # the one that began first

    async def _admit_within(
        self,
        conn: AsyncConnection,
        job_id: JobId,
        reads: Sequence[ReadReply],
        replies: Sequence[CandidateReply],
        ahead: FoundAhead | None,
    ) -> tuple[Admitted, QuestionId | None]:
        """What was admitted of each reply whose hold stands, and the newest question of all."""
        newest: QuestionId | None = None
        standing = await confirm_holds(conn, job_id, [read.hold for read in reads])
        admitted: Admitted = {(read.hold, read.call_id): [] for read in reads if read.hold in standing}
        # FAULTS 18: what was marked before was admitted by a COMMIT that got through although its connection broke.
        marked = await mark_parsed(conn, [call_id for _, call_id in admitted])
        due: list[tuple[ReadReply, CandidateReply]] = []
        for read, reply in zip(reads, replies, strict=True):
            if read.hold in standing and read.call_id in marked:
                marked.remove(read.call_id)
                due.append((read, reply))
        if due:
            offered = [reply for _, reply in due]
            if len(offered) < len(replies):
                ahead = None  # it goes by the places of all their candidates
            dataset_id = offered[0].hold.dataset_id
            admissions = await admit(conn, dataset_id, offered, template_cap=self._template_cap, ahead=ahead)
            newest = max((each for admission in admissions for each in admission.admitted), default=None)
            judged = []
            for (read, reply), admission in zip(due, admissions, strict=True):
                judged.append(_judged(read, admission))
                refused = {id(each.candidate) for each in admission.refused}
                admitted[read.hold, read.call_id] = [each.text for each in reply.candidates if id(each) not in refused]
            await record_judged(conn, judged)
        return admitted, newest


def _with_fingerprints(reads: Sequence[ReadReply]) -> list[CandidateReply]:
    """Computed before the transaction, and for all replies at once: each text then costs half as much."""
    prints = iter(fingerprint_many([question for read in reads for question, _ in read.usable]))
    return [
        CandidateReply(
            read.hold,
            read.cell,
            read.call_id,
            read.model,
            [Candidate(question, tokens, read.tags, next(prints)) for question, tokens in read.usable],
            read.flawed,
        )
        for read in reads
    ]


def _judged(read: ReadReply, admission: Admission) -> Judged:
    reasons = [reason for reason, _ in read.flawed] + [str(each.reason) for each in admission.refused]
    return Judged(
        read.hold,
        read.call_id,
        generated=len(read.usable) + len(read.flawed),
        admitted=len(admission.admitted),
        parsed=1,
        rejected=Counter(reasons),
        repaired=read.repaired,
    )
