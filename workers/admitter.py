"""Admits what the replies of this process brought: of one job together, in one fenced transaction that has its effect
once.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.admission import Admission, Candidate, CandidateReply, admit
from shared.corpus.duplicates import Refusal
from shared.corpus.fingerprint import fingerprint_many
from shared.corpus.grams import trace
from shared.corpus.topic_yields import Harvest, record_harvests
from shared.database.fence import Hold, confirm_holds, fenced_off
from shared.database.grouped import Grouped
from shared.database.reconnect import until_reachable
from shared.ids import CallId, DatasetId, JobId
from shared.jobs.claim import Judged, record_judged
from shared.llm.ledger import mark_parsed
from shared.planning.mix import Cell

# Admissions of one dataset take turns; the fuller each is, the less each reply costs. So long they wait at most.
PACE_SECONDS = 0.1
MOST_REPLIES = 64
# What says that a topic's questions come again; a full template says that they vary in numbers only.
REPEATS = frozenset({Refusal.EXACT, Refusal.NEAR})


@dataclass(frozen=True, slots=True)
class ReadReply:
    """A reply that was parsed. `usable` are its questions with their tokens, `flawed` those refused: (reason, text).

    `template_cap` is the job's own; None for the server's.
    """

    hold: Hold
    cell: Cell
    call_id: CallId
    model: str
    topic: str
    tags: tuple[str, ...]
    usable: Sequence[tuple[str, int]]
    flawed: Sequence[tuple[str, str]]
    repaired: Counter[str]
    template_cap: int | None = None
    prompt_version: str | None = None


# The new questions of each reply, by its hold and call.
Admitted = dict[tuple[Hold, CallId], list[str]]


class Admitter:
    """The one place of a process from which questions get into the database."""

    def __init__(self, engine: AsyncEngine, *, template_cap: int) -> None:
        self.engine = engine
        self._template_cap = template_cap
        self._guarded: set[DatasetId] = set()  # as far as is known: those that benchmarks guard
        self._grouped = Grouped(self._admit_together, pace_seconds=PACE_SECONDS, most=MOST_REPLIES)

    async def admit(self, read: ReadReply) -> list[str]:
        """The questions of this reply that are new, once they are committed; none if that was done before.

        Waits for a database that is away. Raises JobNotRunning, or FencedOff for a stale hold.
        """
        return await self._grouped(read.hold.job_id, read)

    async def _admit_together(self, job_id: JobId, reads: Sequence[ReadReply]) -> list[list[str] | Exception]:
        replies = _with_fingerprints(reads, traced=reads[0].hold.dataset_id in self._guarded)

        async def once() -> Admitted:
            async with self.engine.begin() as conn:
                return await self._admit_within(conn, job_id, reads, replies)

        admitted = await until_reachable(once, what="admit")
        return [admitted.get((read.hold, read.call_id), fenced_off(read.hold)) for read in reads]

    async def _admit_within(
        self, conn: AsyncConnection, job_id: JobId, reads: Sequence[ReadReply], replies: Sequence[CandidateReply]
    ) -> Admitted:
        """What was admitted of each reply whose hold stands."""
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
            dataset_id, cap = offered[0].hold.dataset_id, due[0][0].template_cap or self._template_cap
            admissions = await admit(conn, dataset_id, offered, template_cap=cap)
            self._remember(dataset_id, admissions)
            harvests = [_harvested(read, admission) for (read, _), admission in zip(due, admissions, strict=True)]
            await record_harvests(conn, dataset_id, harvests)
            judged = []
            for (read, reply), admission in zip(due, admissions, strict=True):
                judged.append(_judged(read, admission))
                refused = {id(each.candidate) for each in admission.refused}
                admitted[read.hold, read.call_id] = [each.text for each in reply.candidates if id(each) not in refused]
            await record_judged(conn, judged)
        return admitted

    def _remember(self, dataset_id: DatasetId, admissions: Sequence[Admission]) -> None:
        if any(each.guarded for each in admissions):
            self._guarded.add(dataset_id)
        else:
            self._guarded.discard(dataset_id)


def _with_fingerprints(reads: Sequence[ReadReply], *, traced: bool) -> list[CandidateReply]:
    """Computed before the transaction, and for all replies at once: each text then costs half as much."""
    prints = iter(fingerprint_many([question for read in reads for question, _ in read.usable]))
    return [
        CandidateReply(
            read.hold,
            read.cell,
            read.call_id,
            read.model,
            [
                Candidate(question, tokens, read.tags, next(prints), trace(question) if traced else None)
                for question, tokens in read.usable
            ],
            read.flawed,
            read.prompt_version,
        )
        for read in reads
    ]


def _harvested(read: ReadReply, admission: Admission) -> Harvest:
    repeats = sum(each.reason in REPEATS for each in admission.refused)
    return Harvest(read.cell, read.topic, len(read.usable) + len(read.flawed), len(admission.admitted), repeats)


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
