"""The stage generate: a prompt for each tuple, and the candidates in its reply offered for admission."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.fence import confirm_hold
from shared.database.reconnect import in_transaction
from shared.ids import CallId, DatasetId
from shared.jobs.claim import ClaimedBatch, Judged, record_judged
from shared.llm.ledger import mark_parsed
from shared.questions.candidates import read_candidates
from shared.questions.gates.table import gates_on
from shared.questions.prompts import PromptTuple, draw_tuple, write_prompt
from workers.admitter import Admitter, ReadReply
from workers.stage_work import Ask, Reply

# The avoid list of a prompt: the newest questions that this process saw admitted for the topic.
AVOID_PER_TOPIC = 6
MOST_TOPICS = 5_000  # of all datasets that a process has worked for; about 5 MB
NEW_TO_AVOID = 2


@dataclass(slots=True)
class AdmittedLately:
    """The newest questions of each topic, of all batches of a process."""

    by_topic: defaultdict[tuple[DatasetId, str, str], deque[str]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=AVOID_PER_TOPIC))
    )

    def of(self, dataset_id: DatasetId, drawn: PromptTuple) -> tuple[str, ...]:
        """What a prompt should avoid."""
        return tuple(self.by_topic[dataset_id, drawn.domain, drawn.topic])

    def add(self, dataset_id: DatasetId, drawn: PromptTuple, admitted: Sequence[str]) -> None:
        """Remember some of what a reply brought."""
        self.by_topic[dataset_id, drawn.domain, drawn.topic].extend(admitted[:NEW_TO_AVOID])
        if len(self.by_topic) > MOST_TOPICS:
            del self.by_topic[next(iter(self.by_topic))]  # the one that began first


class Generation:
    """StageWork of a batch that generates."""

    def __init__(self, batch: ClaimedBatch, admitter: Admitter, lately: AdmittedLately) -> None:
        self._batch = batch
        self._hold = batch.hold
        self._admitter = admitter
        self._lately = lately
        self._gates = gates_on(batch.gates)
        self._left = list(batch.ordinals)

    async def look(self, conn: AsyncConnection, parsed: set[int]) -> None:  # noqa: ARG002 - nothing needs to be read
        """Each prompt is asked once: its deficit gets another one."""
        self._left = [ordinal for ordinal in self._left if ordinal not in parsed]

    async def open(self, conn: AsyncConnection, parsed: set[int]) -> None:
        """The same."""
        await self.look(conn, parsed)

    def ordinals(self) -> Sequence[int]:
        """The prompts that no reply was read of."""
        return tuple(self._left)

    def ask(self, ordinal: int) -> Ask | None:
        """The prompt of a tuple, the first time."""
        if ordinal not in self._left:
            return None
        self._left.remove(ordinal)
        batch, drawn = self._batch, self._tuple(ordinal)
        avoid = self._lately.of(self._hold.dataset_id, drawn)
        questions, mean_tokens = batch.questions_per_call, batch.mean_tokens
        prompt = write_prompt(batch.atlas, drawn, questions=questions, mean_tokens=mean_tokens, avoid=avoid)
        asked = {"version": prompt.version, "questions": questions, "mean_tokens": mean_tokens, "avoid": list(avoid)}
        return Ask(prompt, {**drawn.to_json(), **asked}, batch.model)

    async def judge(self, reply: Reply) -> None:
        """Parse a stored reply and admit what is new."""
        candidates, parsed = read_candidates(
            reply.text,
            cut=reply.cut,
            domain=self._batch.cell.domain,
            mean_tokens=self._batch.mean_tokens,
            gates=self._gates,
        )
        drawn = self._tuple(reply.ordinal)
        usable = [(each.text, each.tokens) for each in candidates if each.flaw is None]
        flawed = [(each.flaw, each.text) for each in candidates if each.flaw is not None]
        repairs = Counter(map(str, parsed.repairs))
        if parsed.problem is not None:
            repairs["unreadable"] += 1
        version = reply.record.get("version")
        admitted = await self._admitter.admit(
            ReadReply(
                self._hold,
                self._batch.cell,
                reply.call_id,
                self._batch.model,
                drawn.topic,
                (drawn.topic, drawn.subtopic, drawn.form),
                usable,
                flawed,
                repairs,
                self._batch.novelty.template_cap,
                version if isinstance(version, str) else None,
            )
        )
        self._lately.add(self._hold.dataset_id, drawn, admitted)

    async def give_up(self, call_id: CallId, ordinal: int, record: Mapping[str, object], why: str) -> None:  # noqa: ARG002
        """Count a prompt that brought nothing; its deficit gets another one."""

        async def count(conn: AsyncConnection) -> None:
            await confirm_hold(conn, self._hold)
            if await mark_parsed(conn, [call_id]):
                await record_judged(conn, [Judged(self._hold, call_id, given_up=1)])

        await in_transaction(self._admitter.engine, count, what="give up")

    def _tuple(self, ordinal: int) -> PromptTuple:
        batch = self._batch
        return draw_tuple(batch.atlas, batch.seed, batch.cell, ordinal, inject=batch.novelty.inject)
