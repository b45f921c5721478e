"""What a batch's run asks of the stage that it is of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.ids import CallId
from shared.llm.ledger import StoredReply
from shared.questions.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt to be sent to a model, and what the ledger keeps of it: enough to read its reply."""

    prompt: Prompt
    record: Mapping[str, object]
    model: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A usable reply that is stored and not yet parsed; `record` is what the ledger has of its prompt."""

    call_id: CallId
    ordinal: int
    text: str
    cut: bool
    record: Mapping[str, object]


class StageWork(Protocol):
    """One batch's work; an ordinal stands for one call, and for those that follow until nothing is left to ask."""

    async def look(self, conn: AsyncConnection, parsed: set[int]) -> None:
        """Read what is left, and write nothing. `parsed` ordinals had a reply read."""
        ...

    async def open(self, conn: AsyncConnection, parsed: set[int]) -> None:
        """The same with what can be settled at once, under a hold, once the replies of holders before are judged."""
        ...

    def ordinals(self) -> Sequence[int]:
        """Those that may still need a call."""
        ...

    def ask(self, ordinal: int) -> Ask | None:
        """The next call of an ordinal; None when nothing is left to ask."""
        ...

    async def judge(self, reply: Reply) -> None:
        """Parse a reply and keep what it brings, in one fenced transaction that has its effect once.

        Raises JobNotRunning or FencedOff.
        """
        ...

    async def give_up(self, call_id: CallId, ordinal: int, record: Mapping[str, object], why: str) -> None:
        """Count a call that brought nothing usable. Raises JobNotRunning or FencedOff."""
        ...


def stored(reply: StoredReply) -> Reply:
    """A reply that an earlier holder left unread."""
    return Reply(reply.call_id, reply.ordinal, reply.text, reply.cut, reply.prompt)
