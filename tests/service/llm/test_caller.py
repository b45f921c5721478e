import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import pytest
from redis.asyncio import Redis
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold
from shared.errors import BudgetExhausted, FencedOff, JobNotRunning, UnusableModel
from shared.llm.caller import Caller, Draining, FinishedCall, Stop
from shared.llm.limiter import open_limiter_redis
from shared.llm.openai import OpenAIProvider
from shared.llm.prices import price_of
from shared.llm.provider import Outcome, Provider, Usage
from shared.llm.retry import GiveUp, RetryPolicy, StopJob
from shared.settings import RateLimit, Settings
from tests.service.llm.rows import add_job, budget_of, execute, fetch
from tests.service.llm.scripted_server import Answer, ScriptedServer, openai_body, openai_error, scripted_server

MODEL = "openai/gpt-6-luna"
COST = price_of(MODEL, Usage(100, 50), {})
ZERO = Decimal(0)
SETTINGS = Settings(
    rate_limits={MODEL: RateLimit(requests_per_minute=600_000, tokens_per_minute=6_000_000_000)},
    call_timeout_seconds=10,
    call_attempts=4,
)


@dataclass(frozen=True)
class Prompt:
    system: str = "be brief"
    user: str = "ask"
    schema_name: str = "questions"
    max_output_tokens: int = 500

    @property
    def schema(self) -> dict[str, object]:
        return {"type": "object"}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as started:
        yield started


@pytest.fixture
async def providers(server: ScriptedServer) -> AsyncIterator[dict[str, Provider]]:
    provider = OpenAIProvider("sk", f"{server.url}/v1")
    yield {"openai": provider}
    await provider.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_limiter_redis(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


NewCaller = Callable[..., Caller]


@pytest.fixture
async def new_caller(engine: AsyncEngine, redis: Redis, providers: dict[str, Provider]) -> AsyncIterator[NewCaller]:
    made: list[Caller] = []

    def make(seed: int = 7, **changes: object) -> Caller:
        settings = SETTINGS.model_copy(update=changes)
        made.append(Caller(settings, engine, redis, providers, rng=Random(seed)))
        made[-1]._policy = RetryPolicy(attempts=SETTINGS.call_attempts, base_seconds=0.02)
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def caller(new_caller: NewCaller) -> Caller:
    return new_caller()


@pytest.fixture
async def hold(engine: AsyncEngine) -> Hold:
    return await add_job(engine)


async def asked(caller: Caller, hold: Hold, *, ordinal: int = 0, stop: Stop | None = None) -> FinishedCall:
    return await caller.call(
        hold, ordinal=ordinal, prompt=Prompt(), prompt_record={"n": ordinal}, model=MODEL, stop=stop or Stop()
    )


async def ledger(engine: AsyncEngine, hold: Hold) -> list[tuple[object, ...]]:
    return await fetch(
        engine, "SELECT attempt, state, outcome FROM call WHERE batch_id = :id ORDER BY attempt, id", id=hold.batch_id
    )


async def until_settled(engine: AsyncEngine, hold: Hold) -> None:
    """Return once the batch's first call is settled; a pause that it asked for was told before."""
    async with asyncio.timeout(10):
        while not any(state != "sent" for _, state, _ in await ledger(engine, hold)):  # noqa: ASYNC110 - sends no event
            await asyncio.sleep(0.005)


async def test_reply_is_stored_and_paid(
    engine: AsyncEngine, caller: Caller, server: ScriptedServer, hold: Hold
) -> None:
    finished = await asked(caller, hold)
    assert (finished.reply.outcome, finished.verdict, finished.cost_usd) == (Outcome.OK, None, COST)
    assert server.requests[0].headers["x-client-request-id"] == str(finished.call_id)
    assert await ledger(engine, hold) == [(1, "ok", "ok")]
    assert await budget_of(engine, hold) == (COST, ZERO)


async def test_row_is_written_before_the_request_and_no_connection_is_held_across_it(
    engine: AsyncEngine, caller: Caller, server: ScriptedServer, hold: Hold
) -> None:
    release = asyncio.Event()
    server.answers.append(Answer(body=server.default.body, wait_for=release))
    call = asyncio.create_task(asked(caller, hold))
    await server.arrived.wait()
    assert await ledger(engine, hold) == [(1, "sent", None)]
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert caller.counters.in_flight == 1
    release.set()
    await call
    assert caller.counters.in_flight == 0


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer(500, b"oops"), "failed"),
        (Answer(529, b""), "failed"),
        (Answer(429, openai_error("rate_limit_exceeded")), "failed"),
        (Answer(body=openai_body("")), "failed"),
        (Answer(body=b"<html>"), "unknown"),
        (Answer(body=openai_body("[]"), reset_after=0), "unknown"),
        (Answer(body=openai_body("[]"), reset_after=30), "unknown"),
        (Answer(body=openai_body("[]"), delay_seconds=30), "unknown"),
    ],
)
async def test_passing_fault_is_retried_and_both_attempts_are_in_the_ledger(
    engine: AsyncEngine, new_caller: NewCaller, server: ScriptedServer, hold: Hold, answer: Answer, state: str
) -> None:
    server.answers.append(answer)
    # Only what never comes is waited for in vain: the second attempt has to come in time on a busy machine.
    patience = {"call_timeout_seconds": 1.5} if answer.delay_seconds else {}
    finished = await asked(new_caller(**patience), hold)
    assert finished.reply.outcome is Outcome.OK
    assert [row[:2] for row in await ledger(engine, hold)] == [(1, state), (2, "ok")]
    spent, held = await budget_of(engine, hold)
    assert held == 0
    assert (spent > COST) == (state == "unknown" or answer.status == 200)


@pytest.mark.parametrize(
    ("answer", "outcome", "verdict"),
    [
        (Answer(429, openai_error("insufficient_quota")), Outcome.QUOTA, StopJob),
        (Answer(401, openai_error("invalid_api_key")), Outcome.UNAUTHORISED, StopJob),
        (Answer(404, openai_error("model_not_found")), Outcome.UNKNOWN_MODEL, StopJob),
        (Answer(400, openai_error("context_length_exceeded")), Outcome.BAD_REQUEST, GiveUp),
        (Answer(body=openai_body(None, refusal="no")), Outcome.REFUSED, GiveUp),
    ],
)
async def test_what_waiting_does_not_mend_is_not_retried(
    caller: Caller, server: ScriptedServer, hold: Hold, answer: Answer, outcome: Outcome, verdict: type
) -> None:
    server.default = answer
    finished = await asked(caller, hold)
    assert finished.reply.outcome is outcome
    assert isinstance(finished.verdict, verdict)
    assert len(server.requests) == 1


async def test_attempts_end(engine: AsyncEngine, caller: Caller, server: ScriptedServer, hold: Hold) -> None:
    server.default = Answer(500, b"oops")
    finished = await asked(caller, hold)
    assert isinstance(finished.verdict, GiveUp)
    assert len(server.requests) == SETTINGS.call_attempts
    assert caller.counters.outcomes == {Outcome.SERVER_ERROR: SETTINGS.call_attempts}
    assert await budget_of(engine, hold) == (ZERO, ZERO)


async def test_nobody_calls_before_retry_after(
    engine: AsyncEngine, new_caller: NewCaller, caller: Caller, server: ScriptedServer, hold: Hold
) -> None:
    """Neither the refused worker nor another one."""
    other = new_caller(seed=8)
    server.answers.append(Answer(429, openai_error("rate_limit_exceeded"), {"retry-after": "0.6"}))
    refused = asyncio.create_task(asked(caller, hold))
    await until_settled(engine, hold)
    await asyncio.gather(refused, *(asked(other, hold, ordinal=ordinal) for ordinal in range(1, 5)))
    first, *later = (request.at for request in server.requests)
    assert len(later) == 5
    assert min(later) - first >= 0.6


async def test_budget_stops_before_the_request(engine: AsyncEngine, caller: Caller, server: ScriptedServer) -> None:
    hold = await add_job(engine, "0.0001")
    with pytest.raises(BudgetExhausted):
        await asked(caller, hold)
    assert server.requests == []
    assert await budget_of(engine, hold) == (ZERO, ZERO)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE batch SET fence = fence + 1 WHERE job_id = :id", FencedOff),
        ("UPDATE job SET state = 'paused', reason = 'by hand' WHERE id = :id", JobNotRunning),
    ],
)
async def test_no_retry_once_the_right_to_call_is_gone(
    engine: AsyncEngine, caller: Caller, server: ScriptedServer, hold: Hold, change: str, error: type[Exception]
) -> None:
    release = asyncio.Event()
    server.answers.append(Answer(500, b"oops", wait_for=release))
    call = asyncio.create_task(asked(caller, hold))
    await server.arrived.wait()
    await execute(engine, change, id=hold.job_id)
    release.set()
    with pytest.raises(error):
        await call
    assert len(server.requests) == 1
    assert await ledger(engine, hold) == [(1, "failed", "server_error")]


async def test_model_without_a_key_is_refused(caller: Caller, hold: Hold) -> None:
    with pytest.raises(UnusableModel, match="anthropic"):
        await caller.call(
            hold, ordinal=0, prompt=Prompt(), prompt_record={}, model="anthropic/claude-haiku-5-5", stop=Stop()
        )


async def test_drain_finishes_calls_in_flight_and_starts_no_other(
    engine: AsyncEngine, new_caller: NewCaller, server: ScriptedServer, hold: Hold
) -> None:
    """Of 12 calls with 4 places, 4 are in flight at the drain: they are stored, the others never sent."""
    caller = new_caller(calls_in_flight=4, call_timeout_seconds=5)
    stop, release = Stop(), asyncio.Event()
    server.default = Answer(body=server.default.body, wait_for=release)
    calls = [asyncio.create_task(asked(caller, hold, ordinal=ordinal, stop=stop)) for ordinal in range(12)]
    await server.reached(4)
    stop.set()
    done, _ = await asyncio.wait(calls, timeout=1.0)
    assert len(done) == 8  # at once, not when places get free
    release.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Draining) for result in results) == 8
    assert sum(isinstance(result, FinishedCall) for result in results) == 4
    assert len(server.requests) == 4
    assert [row[1] for row in await ledger(engine, hold)] == ["ok"] * 4


async def test_drain_ends_the_wait_before_a_retry(
    engine: AsyncEngine, caller: Caller, server: ScriptedServer, hold: Hold
) -> None:
    server.default = Answer(429, openai_error("rate_limit_exceeded"), {"retry-after": "60"})
    stop = Stop()
    call = asyncio.create_task(asked(caller, hold, stop=stop))
    await until_settled(engine, hold)
    stop.set()
    with pytest.raises(Draining):
        await asyncio.wait_for(call, 5)


async def test_no_more_than_the_cap_is_in_flight(new_caller: NewCaller, server: ScriptedServer, hold: Hold) -> None:
    caller = new_caller(calls_in_flight=3)
    server.default = Answer(body=server.default.body, delay_seconds=0.03)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, caller.counters.in_flight)
            await asyncio.sleep(0.002)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(asked(caller, hold, ordinal=ordinal) for ordinal in range(12)))
    watching.cancel()
    assert most == 3


@pytest.mark.parametrize("statement", ["INSERT INTO call", "UPDATE job_budget"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_ledger_write_survives_a_cut_connection(
    engine: AsyncEngine,
    caller: Caller,
    server: ScriptedServer,
    hold: Hold,
    statement: str,
    moment: str,
    fail_once: Callable[[str, str], list[str]],
) -> None:
    """The connection breaks before the write, or after it took effect and before we heard so. FAULTS 2, 18."""
    cuts = fail_once(statement, moment)
    finished = await asked(caller, hold)
    assert cuts == [statement]
    assert finished.reply.outcome is Outcome.OK
    assert await ledger(engine, hold) == [(1, "ok", "ok")]
    assert await budget_of(engine, hold) == (COST, ZERO)
    assert len(server.requests) == 1


@pytest.fixture
def fail_once(engine: AsyncEngine) -> Iterator[Callable[[str, str], list[str]]]:
    """Makes the first ledger write that holds a phrase end as a broken connection does."""
    installed: list[tuple[str, Callable[..., None]]] = []

    def install(phrase: str, moment: str) -> list[str]:
        cuts: list[str] = []

        def cut(
            conn: object, cursor: object, sql: str, parameters: object, context: object, executemany: object
        ) -> None:
            is_open = "INSERT INTO call" in sql
            wanted = is_open if phrase == "INSERT INTO call" else "UPDATE job_budget" in sql and not is_open
            if wanted and not cuts:
                cuts.append(phrase)
                raise OperationalError(sql, {}, ConnectionError("cut off"))

        name = f"{moment}_cursor_execute"
        event.listen(engine.sync_engine, name, cut)
        installed.append((name, cut))
        return cuts

    yield install
    for name, cut in installed:
        event.remove(engine.sync_engine, name, cut)


async def test_stalled_holder_still_settles_what_it_paid(
    engine: AsyncEngine, caller: Caller, server: ScriptedServer, hold: Hold
) -> None:
    """FAULTS 5: fenced off while its call was out, it still records the reply."""
    release = asyncio.Event()
    server.answers.append(Answer(body=server.default.body, wait_for=release))
    call = asyncio.create_task(asked(caller, hold))
    await server.arrived.wait()
    await execute(engine, "UPDATE batch SET fence = fence + 1 WHERE id = :id", id=hold.batch_id)
    release.set()
    assert (await call).reply.outcome is Outcome.OK
    assert await ledger(engine, hold) == [(1, "ok", "ok")]


async def test_throttling_lowers_the_cap_once_per_cascade(caller: Caller, server: ScriptedServer, hold: Hold) -> None:
    all_are_sent = asyncio.Event()
    storm = Answer(429, openai_error("rate_limit_exceeded"), {"retry-after": "0.1"}, wait_for=all_are_sent)
    server.answers.extend([storm] * 10)
    asking = asyncio.gather(*(asked(caller, hold, ordinal=ordinal) for ordinal in range(10)))
    await server.reached(10)
    all_are_sent.set()
    await asking
    assert caller._adaptive[MODEL].decreases == 1
    assert caller.counters.outcomes == {Outcome.RATE_LIMITED: 10, Outcome.OK: 10}
