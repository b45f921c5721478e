"""The stages after generation: groups of questions are shown to models until each of them has a result."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.at_hand import Origin, Waiting, read_texts, read_waiting
from shared.corpus.stages import StageTerms
from shared.database.fence import confirm_hold
from shared.database.reconnect import in_transaction
from shared.ids import CallId, QuestionId
from shared.jobs.claim import ClaimedBatch, record_settled
from shared.questions.prompts import Prompt
from workers.stage_work import Ask, Reply
from workers.taker import ReadResults, Taker

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

    def __init__(self, batch: ClaimedBatch, engine: AsyncEngine, taker: Taker[Result]) -> None:
        assert batch.terms is not None
        self._batch = batch
        self._hold = batch.hold
        self._terms: StageTerms = batch.terms
        self._engine = engine
        self._taker = taker
        self._waiting: dict[QuestionId, Waiting] = {}

    @abstractmethod
    def write_prompt(self, questions: Sequence[str], *, tries: int) -> Prompt:
        """The prompt about these questions; `tries` is how often each has been asked about in vain."""

    @abstractmethod
    def find(self, reply: Reply, questions: Mapping[QuestionId, str]) -> Found[Result]:
        """What the reply says about the questions that it was asked about, in their order."""

    async def look(self, conn: AsyncConnection, parsed: set[int]) -> None:  # noqa: ARG002 - what counts is what is there
        """Read which questions still need what."""
        self._waiting = await read_waiting(conn, self._batch.question_ids, self._terms)

    async def open(self, conn: AsyncConnection, parsed: set[int]) -> None:
        """The same; those that need nothing, from a job before, are settled."""
        await confirm_hold(conn, self._hold)
        await self.look(conn, parsed)
        if whole := [each.id for each in self._waiting.values() if not each.slots]:
            outcome = await self._taker.settle(conn, whole, self._terms)
            rejected = Counter((outcome.rejected or {}).values())
            await record_settled(conn, self._hold, passed=len(outcome.passed), rejected=rejected)
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
        """Take in what the reply brings; what it brings nothing for is asked about again, or rejected."""
        texts = await self._texts(_question_ids(reply.record))
        found = self.find(reply, texts)
        await self._take(
            ReadResults(
                self._origin(reply.call_id, reply.record),
                self._terms,
                list(texts),
                found.results,
                found.why_not,
                found.repairs,
                found.refused,
            )
        )

    async def give_up(self, call_id: CallId, ordinal: int, record: Mapping[str, object], why: str) -> None:  # noqa: ARG002
        """Count the call for all questions that it was about."""
        origin = self._origin(call_id, record)
        await self._take(ReadResults(origin, self._terms, _question_ids(record), why_not=why, given_up=True))

    async def _take(self, read: ReadResults[Result]) -> None:
        left = await self._taker.take(read)
        for question_id in read.asked:
            if question_id in left:
                self._waiting[question_id] = left[question_id]
            else:
                self._waiting.pop(question_id, None)

    def _origin(self, call_id: CallId, record: Mapping[str, object]) -> Origin:
        place = record.get("slot")
        slot = self._terms.slots[place if isinstance(place, int) and place < len(self._terms.slots) else 0]
        return Origin(self._hold, call_id, slot, str(record["version"]))

    async def _texts(self, question_ids: Sequence[QuestionId]) -> dict[QuestionId, str]:
        """In their order. One that has left meanwhile keeps its number in the reply, and what was paid is kept."""
        known = {each: self._waiting[each].text for each in question_ids if each in self._waiting}
        if len(known) < len(question_ids):
            known = await in_transaction(self._engine, lambda conn: read_texts(conn, question_ids), what="read texts")
        return {each: known.get(each, "") for each in question_ids}

    def _left(self, ordinal: int) -> list[Waiting]:
        group, place = divmod(ordinal, len(self._terms.slots))
        size = self._terms.questions_per_call
        ids = self._batch.question_ids[group * size : (group + 1) * size]
        return [its for each in ids if (its := self._waiting.get(each)) is not None and place in its.slots]


def _question_ids(record: Mapping[str, object]) -> list[QuestionId]:
    listed = record["question_ids"]
    return [QuestionId(each) for each in listed] if isinstance(listed, list) else []
