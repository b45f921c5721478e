"""The stages after generation: groups of questions are shown to models until each of them has a result."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.at_hand import Origin, Outcome, Waiting, note_no_use, read_waiting
from shared.corpus.stages import StageTerms
from shared.database.fence import confirm_hold
from shared.database.reconnect import in_transaction
from shared.ids import CallId, QuestionId
from shared.jobs.claim import ClaimedBatch, Judged, record_judged
from shared.llm.ledger import mark_parsed
from shared.questions.prompts import Prompt
from workers.stage_work import Ask, Reply

Result = TypeVar("Result")
# Questions that a call was no use to are asked about in groups so much smaller, so that one cannot spoil the others.
SMALLER_AFTER_NO_USE = 4


@dataclass(frozen=True, slots=True)
class Found(Generic[Result]):
    """The results that a reply has for some of its questions, its repairs, and why the others have none.

    `refused` are results that are not taken, with the reasons they count under.
    """

    results: Mapping[QuestionId, Result]
    repairs: Sequence[str]
    why_not: str
    refused: Counter[str] = field(default_factory=Counter)


class LaterWork(ABC, Generic[Result]):
    """StageWork of a batch that validates or answers. Ordinal g * slots + s is the group g of questions, for slot s."""

    def __init__(self, batch: ClaimedBatch, engine: AsyncEngine) -> None:
        assert batch.terms is not None
        self._batch = batch
        self._hold = batch.hold
        self._terms: StageTerms = batch.terms
        self._engine = engine
        self._waiting: dict[QuestionId, Waiting] = {}

    @abstractmethod
    def write_prompt(self, questions: Sequence[str], *, tries: int) -> Prompt:
        """The prompt about these questions; `tries` is how often each has been asked about in vain."""

    @abstractmethod
    def find(self, reply: Reply, questions: Mapping[QuestionId, str]) -> Found[Result]:
        """What the reply says about the questions that it was asked about, in their order."""

    @abstractmethod
    async def keep(self, conn: AsyncConnection, origin: Origin, results: Mapping[QuestionId, Result]) -> None:
        """Write the results."""

    @abstractmethod
    async def settle(self, conn: AsyncConnection, question_ids: list[QuestionId]) -> Outcome:
        """Be done with the questions that have all their results."""

    async def look(self, conn: AsyncConnection, parsed: set[int]) -> None:  # noqa: ARG002 - what counts is what is there
        """Read which questions still need what."""
        self._waiting = await read_waiting(conn, self._batch.question_ids, self._terms)

    async def open(self, conn: AsyncConnection, parsed: set[int]) -> None:
        """The same; those that need nothing, from a job before, are settled."""
        await confirm_hold(conn, self._hold)
        await self.look(conn, parsed)
        if whole := [each.id for each in self._waiting.values() if not each.slots]:
            await self.settle(conn, whole)
            for question_id in whole:
                del self._waiting[question_id]

    def ordinals(self) -> Sequence[int]:
        """Those with a question that needs a result."""
        groups = -(-len(self._batch.question_ids) // self._terms.questions_per_call)
        return [each for each in range(groups * len(self._terms.slots)) if self._left(each)]

    def ask(self, ordinal: int) -> Ask | None:
        """The next group of an ordinal; those that calls were no use to come last, and fewer at once."""
        left = self._left(ordinal)
        if not left:
            return None
        slots = self._terms.slots
        least = min(each.tries for each in left)
        tries = least // len(slots)
        most = max(1, self._terms.questions_per_call // SMALLER_AFTER_NO_USE**tries)
        group = [each for each in left if each.tries == least][:most]
        place = ordinal % len(slots)
        prompt = self.write_prompt([each.text for each in group], tries=tries)
        record = {
            "version": prompt.version,
            "domain": self._batch.cell.domain,
            "difficulty": self._batch.cell.difficulty,
            "question_ids": [each.id for each in group],
            "slot": place,
            "tries": tries,
        }
        return Ask(prompt, record, slots[place].model)

    async def judge(self, reply: Reply) -> None:
        """Keep what the reply brings; what it brings nothing for is asked about again, or rejected."""
        asked = _question_ids(reply.record)

        async def take_in(conn: AsyncConnection) -> dict[QuestionId, Waiting]:
            await confirm_hold(conn, self._hold)
            # FAULTS 18: what was marked before was taken in by a COMMIT that got through.
            if await mark_parsed(conn, [reply.call_id]):
                await self._take_in(conn, reply, asked)
            return await read_waiting(conn, asked, self._terms)

        self._refresh(asked, await in_transaction(self._engine, take_in, what="take in"))

    async def give_up(self, call_id: CallId, ordinal: int, record: Mapping[str, object], why: str) -> None:  # noqa: ARG002
        """Count the call for all questions that it was about."""
        asked = _question_ids(record)

        async def count(conn: AsyncConnection) -> dict[QuestionId, Waiting]:
            await confirm_hold(conn, self._hold)
            if await mark_parsed(conn, [call_id]):
                outcome = await note_no_use(conn, asked, self._terms, why)
                await self._record(conn, call_id, outcome, given_up=1)
            return await read_waiting(conn, asked, self._terms)

        self._refresh(asked, await in_transaction(self._engine, count, what="give up"))

    async def _take_in(self, conn: AsyncConnection, reply: Reply, asked: Sequence[QuestionId]) -> None:
        waiting = await read_waiting(conn, asked, self._terms)
        # A question that has left meanwhile keeps its number in the reply, and what was paid for it is kept.
        found = self.find(reply, {each: waiting[each].text if each in waiting else "" for each in asked})
        place = reply.record.get("slot")
        slot = self._terms.slots[place if isinstance(place, int) and place < len(self._terms.slots) else 0]
        if found.results:
            origin = Origin(self._hold, reply.call_id, slot, str(reply.record["version"]))
            await self.keep(conn, origin, found.results)
        outcome = await self.settle(conn, list(found.results))
        without = [each for each in asked if each in waiting and each not in found.results]
        if without:
            lost = await note_no_use(conn, without, self._terms, found.why_not)
            outcome = Outcome(outcome.passed, {**(outcome.rejected or {}), **(lost.rejected or {})}, lost.no_use)
        await self._record(conn, reply.call_id, outcome, parsed=1, repairs=found.repairs, refused=found.refused)

    async def _record(
        self,
        conn: AsyncConnection,
        call_id: CallId,
        outcome: Outcome,
        *,
        parsed: int = 0,
        given_up: int = 0,
        repairs: Collection[str] = (),
        refused: Counter[str] | None = None,
    ) -> None:
        judged = Judged(
            self._hold,
            call_id,
            generated=len(outcome.settled),
            admitted=len(outcome.passed),
            parsed=parsed,
            given_up=given_up,
            rejected=Counter((outcome.rejected or {}).values()) + (refused or Counter()),
            repaired=Counter(map(str, repairs)) + Counter({"asked again": len(outcome.no_use)}),
        )
        await record_judged(conn, [judged])

    def _left(self, ordinal: int) -> list[Waiting]:
        group, place = divmod(ordinal, len(self._terms.slots))
        size = self._terms.questions_per_call
        ids = self._batch.question_ids[group * size : (group + 1) * size]
        return [its for each in ids if (its := self._waiting.get(each)) is not None and place in its.slots]

    def _refresh(self, asked: Sequence[QuestionId], waiting: Mapping[QuestionId, Waiting]) -> None:
        for question_id in asked:
            if question_id in waiting:
                self._waiting[question_id] = waiting[question_id]
            else:
                self._waiting.pop(question_id, None)


def _question_ids(record: Mapping[str, object]) -> list[QuestionId]:
    listed = record["question_ids"]
    return [QuestionId(each) for each in listed] if isinstance(listed, list) else []
