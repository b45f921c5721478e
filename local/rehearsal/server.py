"""The HTTP server: reads a request in either format, plays the model with its faults and quotas, keeps the record."""

import asyncio
import math
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from aiohttp import web

from local.rehearsal.answerer import Answerers
from local.rehearsal.anthropic_wire import AnthropicWire
from local.rehearsal.ask import Ask, read_ask
from local.rehearsal.config import RehearsalConfig
from local.rehearsal.faults import Fault, FaultPlan, parse_faults
from local.rehearsal.judge import Judges
from local.rehearsal.openai_wire import OpenAIWire
from local.rehearsal.plants import Plants, read_plants
from local.rehearsal.pools import Pools
from local.rehearsal.quotas import Kind, Quotas
from local.rehearsal.record import Entry, Record
from local.rehearsal.replies import Players, expected_output_tokens, make_reply
from local.rehearsal.wire import Asked, BadRequest, Ending, Made, Trouble, Wire, read_object

LATENCY_SPREAD = 0.35
LATENCY_PER_OUTPUT_TOKEN = 0.001  # of the mean latency
SLOWDOWN = 10.0
LEAST_SLOW_SECONDS = 0.5
HANG_POLL_SECONDS = 0.1

ENDINGS = {
    Ending.COMPLETE: "ok",
    Ending.CUT: "cut",
    Ending.REFUSED: "refusal",
    Ending.FILTERED: "filter",
}
TROUBLES = {
    Fault.SERVER_ERROR: (Trouble.SERVER_ERROR, "The server had an error while processing your request."),
    Fault.OVERLOADED: (Trouble.OVERLOADED, "The model is overloaded. Try again later."),
    Fault.QUOTA: (Trouble.NO_MONEY, "You exceeded your current quota, please check your plan and billing details."),
}


class Rehearsal:
    """The state of one server. Everything here runs on one event loop."""

    def __init__(self, config: RehearsalConfig) -> None:
        self.config = config
        self.faults = FaultPlan(parse_faults(config.faults), config.retry_after)
        self.quotas = Quotas(config.quota)
        self.rate_headers = config.rate_headers
        self.latency_seconds = config.latency
        self.players = Players(
            Pools(
                size=config.pool_size,
                content_share=config.content_share,
                length_short=config.length_short,
                length_long=config.length_long,
            ),
            Plants(read_plants(config.plant) if config.plant else (), config.plant_share, config.seed),
            Judges(config.reject_share, config.judge_noise),
            Answerers(
                config.answer_tokens_short, config.answer_tokens_long, config.reasoning_share, config.reasoning_room
            ),
        )
        self.record = Record(config.record)
        self.in_flight = 0
        self._served = 0

    def random(self) -> Random:
        """The chances of the next request."""
        self._served += 1
        return Random(f"{self.config.seed}/{self._served}")

    def reply(self, asked: Asked, ask: Ask | None, fault: Fault | None, random: Random) -> Made:
        """The answer to one request, alone or in a bulk submission."""
        return make_reply(asked, ask, self.players, fault, random)

    def latency(self, random: Random, output_tokens: int) -> float:
        """Seconds until an answer of so many tokens is ready: lognormal around the set mean."""
        spread = random.lognormvariate(-(LATENCY_SPREAD**2) / 2, LATENCY_SPREAD)
        return self.latency_seconds * (spread + output_tokens * LATENCY_PER_OUTPUT_TOKEN)


@dataclass(slots=True)
class Visit:
    """One request on its way through the server."""

    rehearsal: Rehearsal
    wire: Wire
    request: web.Request
    random: Random
    model: str = ""
    started: float = field(default_factory=time.time)
    request_id: str = ""

    def __post_init__(self) -> None:
        self.request_id = f"req_{self.random.getrandbits(96):024x}"

    @property
    def connected(self) -> bool:
        """Whether the client still listens."""
        transport = self.request.transport
        return transport is not None and not transport.is_closing()

    def headers(self) -> dict[str, str]:
        """Those of every answer in this format."""
        quotas = self.rehearsal.quotas
        states = quotas.states(self.wire.name, self.model, time.monotonic()) if self.rehearsal.rate_headers else {}
        return {"content-type": "application/json", **self.wire.headers(states, self.request_id)}

    def note(
        self,
        status: int,
        outcome: str,
        *,
        tokens: tuple[int, int] = (0, 0),
        billed: bool = False,
        retry_after: int | None = None,
        planted: tuple[int, ...] = (),
    ) -> None:
        """Enter the answer into the record."""
        record = self.rehearsal.record
        record.add(
            Entry(
                seq=record.next_seq,
                id=self.request.headers.get(self.wire.client_id_header),
                provider=self.wire.name,
                model=self.model,
                status=status,
                outcome=outcome,
                input_tokens=tokens[0],
                output_tokens=tokens[1],
                billed=billed,
                delivered=self.connected and outcome not in {Fault.TIMEOUT, Fault.RESET, Fault.EMPTY},
                retry_after=retry_after,
                started=self.started,
                time=time.time(),
                planted=planted,
            )
        )

    def refuse(self, trouble: Trouble, message: str, outcome: str, retry_after: int | None = None) -> web.Response:
        """An error answer, noted."""
        status, body = self.wire.trouble(trouble, message, self.request_id)
        headers = self.headers()
        if retry_after is not None:
            headers["retry-after"] = str(retry_after)
        self.note(status, outcome, retry_after=retry_after)
        return web.Response(status=status, body=body, headers=headers)


def handler_for(rehearsal: Rehearsal, wire: Wire) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The endpoint of one wire format."""

    async def handle(request: web.Request) -> web.StreamResponse:
        visit = Visit(rehearsal, wire, request, rehearsal.random())
        if not any(request.headers.get(name) for name in wire.key_headers):
            message = f"No API key: send the header {' or '.join(wire.key_headers)}."
            return visit.refuse(Trouble.UNAUTHORISED, message, "401")
        try:
            asked = wire.read(read_object(await request.read()))
        except BadRequest as error:
            return visit.refuse(Trouble.BAD_REQUEST, str(error), "400")
        visit.model = asked.model
        rehearsal.in_flight += 1
        try:
            return await _play(visit, asked)
        finally:
            rehearsal.in_flight -= 1

    return handle


async def _play(visit: Visit, asked: Asked) -> web.StreamResponse:
    rehearsal, wire, random = visit.rehearsal, visit.wire, visit.random
    fault = rehearsal.faults.draw(random)
    if fault is Fault.RATE_LIMITED:
        return _refuse_for_now(visit, rehearsal.faults.retry_after_seconds)
    if fault in TROUBLES:
        await asyncio.sleep(rehearsal.latency(random, 0) / 2)
        trouble, message = TROUBLES[fault]
        return visit.refuse(trouble, message, fault)

    ask = read_ask(asked.user)
    estimated = wire.costs(asked.input_tokens, expected_output_tokens(asked, ask, rehearsal.players.answerers))
    wait = rehearsal.quotas.try_take(wire.name, asked.model, {Kind.REQUESTS: 1.0, **estimated}, time.monotonic())
    if wait > 0:
        return _refuse_for_now(visit, math.ceil(wait))
    if fault is Fault.TIMEOUT:
        return await _hang(visit)

    made = rehearsal.reply(asked, ask, fault, random)
    actual = wire.costs(asked.input_tokens, made.output_tokens)
    differences = {kind: actual[kind] - estimated[kind] for kind in actual}
    rehearsal.quotas.settle(wire.name, asked.model, differences, time.monotonic())
    seconds = rehearsal.latency(random, made.output_tokens)
    if fault is Fault.SLOW:
        seconds = max(seconds * SLOWDOWN, LEAST_SLOW_SECONDS)
    await asyncio.sleep(seconds)
    return await _send(visit, asked, made, fault)


async def _send(visit: Visit, asked: Asked, made: Made, fault: Fault | None) -> web.StreamResponse:
    # The provider has done the work: it is billed, whether or not the client gets to see it.
    outcome = fault or ENDINGS[made.ending]
    visit.note(200, outcome, tokens=(asked.input_tokens, made.output_tokens), billed=True, planted=made.planted)
    body = visit.wire.answer(asked, made, visit.request_id)
    match fault:
        case Fault.EMPTY:
            return web.Response(body=b"", headers=visit.headers())
        case Fault.RESET:
            return await _reset_midway(visit, body)
        case _:
            return web.Response(body=body, headers=visit.headers())


def _refuse_for_now(visit: Visit, retry_after: int) -> web.Response:
    message = f"Rate limit reached for {visit.model}. Please try again in {retry_after}s."
    return visit.refuse(Trouble.RATE_LIMITED, message, Fault.RATE_LIMITED, retry_after)


async def _hang(visit: Visit) -> web.StreamResponse:
    try:
        # aiohttp tells a handler of a lost client only by cancelling it, which would end billed answers, too.
        while visit.connected:  # noqa: ASYNC110 - see above
            await asyncio.sleep(HANG_POLL_SECONDS)
    finally:
        visit.note(0, Fault.TIMEOUT)
    return web.Response(status=504)  # nobody is there to see it


async def _reset_midway(visit: Visit, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={**visit.headers(), "content-length": str(len(body))})
    await response.prepare(visit.request)
    await response.write(body[: len(body) // 2])
    # The first half shall arrive before the reset does, which would overtake it.
    await asyncio.sleep(0.01)
    transport = visit.request.transport
    if transport is not None:
        with suppress(OSError):
            raw = transport.get_extra_info("socket")
            # Lingering for zero seconds makes closing send RST instead of FIN.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return response


def wires() -> dict[str, Wire]:
    """The formats by the path that speaks them."""
    return {"/v1/chat/completions": OpenAIWire(), "/v1/messages": AnthropicWire()}
