"""What a batch whose calls go in bulk still needs: its prompts, each with its request and its worst case."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.database.fence import Hold
from shared.ids import BatchId, CallId
from shared.jobs.claim import read_in_bulk
from shared.jobs.submissions import read_refusals
from shared.llm.caller import count_bytes, make_request
from shared.llm.ledger import NewCall, parsed_ordinals, unparsed_replies
from shared.llm.models import split_model
from shared.llm.prices import worst_case
from shared.llm.provider import LLMRequest
from workers.batch import Workshop, work_of
from workers.stage_work import Ask

# The same submission is handed in so often before it is taken for hopeless.
MOST_REFUSALS = 3
# Prompts that are written before others have a turn on the event loop.
PROMPTS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Drafts:
    """The calls of a batch that are to be made, in the order of their prompts.

    `is_read_first`: there are replies to be read, or nothing is to be asked: that is a worker's. `hopeless` says why
    calls are left out whose submissions are refused again and again.
    """

    calls: Sequence[NewCall] = ()
    requests: Mapping[CallId, LLMRequest] | None = None
    is_read_first: bool = False
    hopeless: str | None = None


async def draft(shop: Workshop, batch_id: BatchId) -> Drafts | None:
    """What is to be submitted of a batch; None when it does not wait any more. Raises UnusableModel."""
    async with shop.engine.connect() as conn:
        batch = await read_in_bulk(conn, batch_id)
        if batch is None:
            return None
        if await unparsed_replies(conn, batch.hold):
            return Drafts(is_read_first=True)
        work = work_of(shop, batch)
        await work.look(conn, await parsed_ordinals(conn, batch.hold))
        refusals = await read_refusals(conn, batch_id)
    hopeless: str | None = None
    calls: list[NewCall] = []
    requests: dict[CallId, LLMRequest] = {}
    ordinals = work.ordinals()
    for place, ordinal in enumerate(ordinals):
        if place % PROMPTS_AT_ONCE == 0:
            await asyncio.sleep(0)
        ask = work.ask(ordinal)
        if ask is None:
            continue
        times, detail = refusals.get(ask.model, (0, ""))
        if times >= MOST_REFUSALS:
            hopeless = f"{ask.model}: its bulk submission was refused {times} times: {detail}"
            continue
        request, call = _make_call(shop, batch.hold, ordinal, ask)
        calls.append(call)
        requests[request.call_id] = request
    return Drafts(calls, requests, is_read_first=not ordinals, hopeless=hopeless)


def _make_call(shop: Workshop, hold: Hold, ordinal: int, ask: Ask) -> tuple[LLMRequest, NewCall]:
    settings, prompt = shop.settings, ask.prompt
    _, name = split_model(ask.model)
    request = make_request(prompt, name, timeout_seconds=settings.call_timeout_seconds)
    worst_usd = worst_case(ask.model, count_bytes(prompt), prompt.max_output_tokens, settings.prices, bulk=True)
    return request, NewCall(hold, request.call_id, ordinal, ask.model, ask.record, worst_usd)
