"""A caller that answers from a list and writes the ledger as the real one does."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import count
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.ids import new_call_id
from shared.llm.caller import FinishedCall
from shared.llm.ledger import NewCall, Settlement, open_call, settle_calls
from shared.llm.provider import LLMReply, Outcome, Usage
from shared.llm.retry import GiveUp, StopJob
from shared.llm.stop import Stop

WORDS = ("apples", "pears", "plums", "trains", "stars", "books", "rivers", "cards", "coins", "shells", "maps", "lamps")
_numbers = count(1)


def reply_of(*questions: str) -> LLMReply:
    return reply_with({"questions": questions})


def reply_with(said: object, *, outcome: Outcome = Outcome.OK) -> LLMReply:
    content = orjson.dumps(said).decode()
    message = {"role": "assistant", "content": content}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    }
    usage = Usage(input_tokens=10, cached_tokens=0, output_tokens=20, reasoning_tokens=0)
    return LLMReply(
        outcome, text=content, raw=orjson.dumps(body).decode(), usage=usage, finish_reason="stop", http_status=200
    )


def new_question() -> str:
    number = next(_numbers)
    return (
        f"How many {WORDS[number % 12]} does Amara count if box {number} holds {number * 7} {WORDS[number // 12 % 12]}?"
    )


class ScriptedCaller:
    """Writes the ledger as the real one does; what it answers is up to `answer`."""

    provider_names = frozenset({"openai", "anthropic"})

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.ordinals: list[int] = []
        self.answer: Callable[[int], LLMReply] = lambda _: reply_of(new_question())
        self.answer_prompt: Callable[[Any, Mapping[str, Any]], LLMReply] | None = None
        self.verdict: GiveUp | StopJob | None = None
        self.before: Callable[[int], Any] | None = None

    async def call(
        self,
        hold: Hold,
        *,
        ordinal: int,
        prompt: object,
        prompt_record: Mapping[str, object],
        model: str,
        stop: Stop,
    ) -> FinishedCall:
        stop.check()
        self.ordinals.append(ordinal)
        if self.before is not None:
            await self.before(ordinal)
        call_id = new_call_id()
        async with self._engine.begin() as conn:
            worst = Decimal("0.0001")
            new = NewCall(hold, call_id=call_id, ordinal=ordinal, model=model, prompt=prompt_record, worst_usd=worst)
            attempt = await open_call(conn, new)
        reply = self.answer(ordinal) if self.answer_prompt is None else self.answer_prompt(prompt, prompt_record)
        async with self._engine.begin() as conn:
            await settle_calls(conn, [Settlement(call_id, reply, Decimal("0.0001"))])
        verdict = self.verdict
        if verdict is None and not reply.outcome.usable:
            verdict = GiveUp(str(reply.outcome))
        return FinishedCall(call_id, attempt, reply, Decimal("0.0001"), verdict)
