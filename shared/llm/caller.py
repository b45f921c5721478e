"""Makes a call: turn, rate, budget and ledger row, request, raw reply stored, limits told, then retry or return."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Protocol

import orjson
import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.contextvars import bound_contextvars

from shared.database.fence import Hold
from shared.errors import NoProviderKey
from shared.ids import CallId, new_call_id
from shared.llm.concurrency import AdaptiveConcurrency, Turnstile
from shared.llm.ledger import NewCall, Settlement
from shared.llm.limiter import Booking, RateLimiter
from shared.llm.models import split_model
from shared.llm.prices import OVERHEAD_TOKENS, cost_of, worst_case
from shared.llm.provider import LLMReply, LLMRequest, Outcome, Provider
from shared.llm.retry import GiveUp, Retry, RetryPolicy, StopJob, decide
from shared.llm.stop import Draining, Stop
from shared.llm.writer import LedgerWriter
from shared.settings import Settings
from shared.tracing import span

__all__ = ["CallCounters", "Caller", "Draining", "FinishedCall", "PromptParts", "Stop"]

log = structlog.get_logger()

BYTES_PER_TOKEN = 4  # of English text, for the first estimate of the rate; settled with the usage


class PromptParts(Protocol):
    """What is sent to a model."""

    @property
    def system(self) -> str: ...  # noqa: D102 - the names say it
    @property
    def user(self) -> str: ...  # noqa: D102
    @property
    def schema(self) -> Mapping[str, object]: ...  # noqa: D102
    @property
    def schema_name(self) -> str: ...  # noqa: D102
    @property
    def max_output_tokens(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """The last attempt of a prompt. `verdict` is None when the reply is usable."""

    call_id: CallId
    attempt: int
    reply: LLMReply
    cost_usd: Decimal
    verdict: GiveUp | StopJob | None


@dataclass(slots=True)
class CallCounters:
    """What this process has done, for logs and metrics; the truth is in the ledger."""

    started: int = 0
    in_flight: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    turn_wait_seconds: float = 0.0
    rate_wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Order:
    """One prompt to be sent for a batch."""

    hold: Hold
    ordinal: int
    prompt: PromptParts
    prompt_record: Mapping[str, object]
    model: str
    stop: Stop


class Caller:
    """Makes the calls of one process and event loop. It neither owns nor closes what it is given."""

    def __init__(
        self,
        settings: Settings,
        engine: AsyncEngine,
        redis: Redis,
        providers: Mapping[str, Provider],
        *,
        rng: Random | None = None,
    ) -> None:
        self._settings = settings
        self._providers = providers
        self._rng = rng or Random()
        self._policy = RetryPolicy(attempts=settings.call_attempts)
        self._ledger = LedgerWriter(engine, self._rng)
        self._limiter = RateLimiter(redis, settings.rate_limits, rng=self._rng)
        self._in_flight = Turnstile(settings.calls_in_flight)
        self._adaptive: dict[str, AdaptiveConcurrency] = {}
        self.counters = CallCounters()

    @property
    def provider_names(self) -> frozenset[str]:
        """The providers that this process has a key for."""
        return frozenset(self._providers)

    @property
    def limiter_failures(self) -> int:
        """How often Redis did not answer the limiter."""
        return self._limiter.redis_failures

    async def close(self) -> None:
        """Settle what is not settled yet. Call it when no call is under way any more, before the client is closed."""
        await self._limiter.close()

    async def call(
        self,
        hold: Hold,
        *,
        ordinal: int,
        prompt: PromptParts,
        prompt_record: Mapping[str, object],
        model: str,
        stop: Stop,
    ) -> FinishedCall:
        """Send a prompt until its reply is usable or nothing more can be done; each attempt is a ledger row.

        Raises Draining when `stop` is set (a call in flight is finished and stored first), and JobNotRunning,
        FencedOff or BudgetExhausted when a call may not be made; UnusableModel for a model without a price, or
        NoProviderKey for one without a key.
        """
        order = _Order(hold, ordinal, prompt, prompt_record, model, stop)
        failed = throttled = 0
        while True:
            finished = await self._attempt(order)
            reply = finished.reply
            if reply.outcome.usable:
                return finished
            if reply.outcome.throttled:
                throttled += 1
            else:
                failed += 1
            verdict = decide(
                reply.outcome,
                attempt=throttled if reply.outcome.throttled else failed,
                retry_after_seconds=reply.retry_after_seconds,
                policy=self._policy,
                rng=self._rng,
            )
            if not isinstance(verdict, Retry):
                return FinishedCall(finished.call_id, finished.attempt, reply, finished.cost_usd, verdict)
            await stop.sleep(verdict.after_seconds)

    async def _attempt(self, order: _Order) -> FinishedCall:
        """One call, which whatever is logged meanwhile names."""
        provider, request, worst_usd = self._prepare(order.prompt, order.model)
        names = {"call": str(request.call_id), "model": order.model}
        with bound_contextvars(**names), span(f"call {order.model}", {**names, "ordinal": order.ordinal}) as traced:
            finished = await self._make(order, provider, request, worst_usd)
            reply = finished.reply
            traced.note(outcome=reply.outcome, attempt=finished.attempt, cost_usd=float(finished.cost_usd))
            if reply.usage is not None:
                traced.note(input_tokens=reply.usage.input_tokens, output_tokens=reply.usage.output_tokens)
            if not reply.outcome.usable:
                traced.fail(reply.outcome)
            log.debug("call settled", outcome=reply.outcome, attempt=finished.attempt, detail=reply.detail)
            return finished

    async def _make(self, order: _Order, provider: Provider, request: LLMRequest, worst_usd: Decimal) -> FinishedCall:
        model = order.model
        adaptive = self._adaptive.setdefault(model, AdaptiveConcurrency(self._settings.calls_in_flight))
        clock = asyncio.get_running_loop().time
        arrived = clock()
        await adaptive.enter(order.stop)
        try:
            entered = clock()
            booking = await self._take_turn(order)
            self.counters.turn_wait_seconds += entered - arrived
            self.counters.rate_wait_seconds += clock() - entered
            attempt = await self._start(order, request.call_id, worst_usd, booking)
            try:
                decreases = adaptive.decreases
                reply = await self._send(provider, request)
                await self._slow_down(model, reply, attempt, decreases)
                cost_usd = cost_of(model, reply, worst_usd, self._settings.prices)
                await self._ledger.settle(order.hold.job_id, Settlement(request.call_id, reply, cost_usd))
            finally:
                self._in_flight.leave()
            await self._tell_limiter(model, booking, reply)
            return FinishedCall(request.call_id, attempt, reply, cost_usd, None)
        finally:
            adaptive.leave()

    async def _take_turn(self, order: _Order) -> Booking:
        """Book the rate, then take a place in flight.

        Places are shared by all models and taken only then: a call that waits for its model's rate holds none.
        """
        while True:
            booking = await self._limiter.acquire(order.model, _estimate_tokens(order.prompt), order.stop)
            try:
                await self._in_flight.enter(order.stop)
            except BaseException:
                self._limiter.settle(booking, tokens=0, requests=0)
                raise
            if self._limiter.stands(booking):
                return booking
            self._in_flight.leave()  # paused while it waited for its place

    async def _start(self, order: _Order, call_id: CallId, worst_usd: Decimal, booking: Booking) -> int:
        """Write the ledger row; if it may not be, the place and the booking are given back."""
        call = NewCall(order.hold, call_id, order.ordinal, order.model, order.prompt_record, worst_usd)
        try:
            return await self._ledger.open(call, order.stop)
        except BaseException:
            self._in_flight.leave()
            self._limiter.settle(booking, tokens=0, requests=0)
            raise

    def _prepare(self, prompt: PromptParts, model: str) -> tuple[Provider, LLMRequest, Decimal]:
        provider_name, name = split_model(model)
        provider = self._providers.get(provider_name)
        if provider is None:
            raise NoProviderKey(model, provider_name)
        request = make_request(prompt, name, timeout_seconds=self._settings.call_timeout_seconds)
        worst_usd = worst_case(model, count_bytes(prompt), prompt.max_output_tokens, self._settings.prices)
        return provider, request, worst_usd

    async def _send(self, provider: Provider, request: LLMRequest) -> LLMReply:
        self.counters.started += 1
        self.counters.in_flight += 1
        try:
            reply = await provider.complete(request)
        finally:
            self.counters.in_flight -= 1
        self.counters.outcomes[reply.outcome] += 1
        return reply

    async def _slow_down(self, model: str, reply: LLMReply, attempt: int, decreases: int) -> None:
        """Before anything else: the sooner the others know, the fewer of their calls are refused."""
        if not reply.outcome.throttled:
            return
        self._adaptive[model].on_throttled(decreases)
        seconds = reply.retry_after_seconds
        if seconds is None:
            seconds = min(self._policy.base_seconds * 2.0 ** min(attempt - 1, 4), self._policy.longest_seconds)
        await self._limiter.pause(model, seconds)

    async def _tell_limiter(self, model: str, booking: Booking, reply: LLMReply) -> None:
        if reply.outcome.usable:
            self._adaptive[model].on_success()
        if reply.usage is not None:
            self._limiter.settle(booking, tokens=reply.usage.total_tokens)
        elif not reply.outcome.usable and not reply.outcome.maybe_paid:
            self._limiter.settle(booking, tokens=0, requests=0 if reply.outcome == Outcome.UNREACHABLE else 1)
        if reply.rate is not None or reply.outcome.usable:
            await self._limiter.learn(model, reply.rate)


def make_request(prompt: PromptParts, name: str, *, timeout_seconds: float) -> LLMRequest:
    """The prompt as a new call of the model that its provider calls `name`."""
    return LLMRequest(
        call_id=new_call_id(),
        model=name,
        system=prompt.system,
        user=prompt.user,
        schema=prompt.schema,
        schema_name=prompt.schema_name,
        max_output_tokens=prompt.max_output_tokens,
        timeout_seconds=timeout_seconds,
    )


def count_bytes(prompt: PromptParts) -> int:
    """All that is sent of a prompt."""
    return len(prompt.system.encode()) + len(prompt.user.encode()) + len(orjson.dumps(prompt.schema))


def _estimate_tokens(prompt: PromptParts) -> int:
    """As providers count a request when it arrives: its input and all the output that it may produce."""
    return count_bytes(prompt) // BYTES_PER_TOKEN + OVERHEAD_TOKENS + prompt.max_output_tokens
