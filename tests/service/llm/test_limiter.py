import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from random import Random

import pytest
from redis.asyncio import Redis

from shared.llm import limiter as limiter_module
from shared.llm.limiter import BURST_SECONDS, Booking, RateLimiter, open_limiter_redis
from shared.llm.provider import RateHeaders
from shared.llm.stop import Draining, Stop
from shared.settings import RateLimit

MODELS = count()
NewWorker = Callable[..., RateLimiter]


@pytest.fixture
def model() -> str:
    return f"openai/test-{next(MODELS)}"


@pytest.fixture
def stop() -> Stop:
    return Stop()


@pytest.fixture
async def clients() -> AsyncIterator[list[Redis]]:
    opened: list[Redis] = []
    yield opened
    for client in opened:
        await client.aclose()


@pytest.fixture
async def new_worker(redis_url: str, clients: list[Redis], model: str) -> AsyncIterator[NewWorker]:
    """A limiter as another worker process has it: own connections, own memory."""
    workers: list[RateLimiter] = []

    def make(requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> RateLimiter:
        clients.append(open_limiter_redis(redis_url))
        limit = RateLimit(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute)
        workers.append(RateLimiter(clients[-1], {model: limit}, rng=Random(1)))
        return workers[-1]

    yield make
    for worker in workers:
        await worker.close()


# A burst of this length hides what a busy machine's pauses cost from a test that asks for the whole rate.
LONGER_THAN_A_STALL = 0.6


@pytest.fixture(autouse=True)
def short_burst(monkeypatch: pytest.MonkeyPatch) -> float:
    """A burst of 0.2 s instead of 6 s lets a short test tell a rate from a burst."""
    monkeypatch.setattr(limiter_module, "BURST_SECONDS", 0.2)
    return 0.2


def now() -> float:
    return asyncio.get_running_loop().time()


async def grants_until(
    end: float, worker: RateLimiter, model: str, *, tokens: int = 0, actual: int | None = None
) -> list[float]:
    """Times of the calls that one worker may start, with four callers, until `end`."""
    granted: list[float] = []
    stop = Stop()

    async def caller() -> None:
        while now() < end:
            booking = await worker.acquire(model, tokens, stop)
            granted.append(now())
            if actual is not None:
                worker.settle(booking, tokens=actual)

    callers = [asyncio.create_task(caller()) for _ in range(4)]
    await asyncio.sleep(end - now())
    stop.set()
    await asyncio.gather(*callers, return_exceptions=True)
    return granted


async def field_of(client: Redis, model: str, name: str) -> float:
    value = await client.hget(f"questmill:rate:{model}", name)
    assert value is not None
    return float(value)


def within(times: list[float], start: float, end: float) -> int:
    return sum(start <= time < end for time in times)


async def test_eight_racing_workers_share_one_rate(
    new_worker: NewWorker, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All grants since the state began, which had no credit, stay below the rate; none of it is wasted."""
    monkeypatch.setattr(limiter_module, "BURST_SECONDS", LONGER_THAN_A_STALL)
    per_second, seconds = 150, 2.0
    workers = [new_worker(per_second * 60) for _ in range(8)]
    began = now()
    for worker in workers:
        await worker.acquire(model, 0, Stop())  # connected
    start = now()
    lists = await asyncio.gather(*(grants_until(start + seconds, worker, model) for worker in workers))
    times = [time for times in lists for time in times]
    assert len(workers) + within(times, start, start + seconds) <= per_second * (start + seconds - began) + 2
    assert within(times, start, start + seconds) >= 0.97 * per_second * seconds
    assert min(len(times) for times in lists) > 0.5 * max(len(times) for times in lists)  # in turn


async def test_tokens_are_limited_and_settled_with_the_real_usage(
    new_worker: NewWorker, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls estimated at 1,000 tokens that use 100 run at the rate of 100."""
    monkeypatch.setattr(limiter_module, "BURST_SECONDS", LONGER_THAN_A_STALL)
    per_second, seconds = 10_000, 2.0
    worker = new_worker(60_000, per_second * 60)
    start = now()
    granted = await grants_until(start + seconds, worker, model, tokens=1000, actual=100)
    used = 100 * within(granted, start, start + seconds)
    assert used <= per_second * (seconds + LONGER_THAN_A_STALL) + 1000
    # Unsettled, the estimates would allow a tenth of the rate.
    assert used >= 0.5 * per_second * seconds


async def test_new_state_has_no_burst_credit(new_worker: NewWorker, model: str, stop: Stop) -> None:
    worker = new_worker(600)
    start = now()
    for _ in range(3):
        await worker.acquire(model, 0, stop)
    assert now() - start >= 0.28


async def test_flush_grants_no_burst_and_drops_older_refunds(
    new_worker: NewWorker, model: str, clients: list[Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refunds that were booked before a flush would be credit that nobody paid in after it."""
    monkeypatch.setattr(limiter_module, "BURST_SECONDS", LONGER_THAN_A_STALL)
    per_second = 10_000
    worker = new_worker(60_000, per_second * 60)
    stop = Stop()
    before: list[Booking] = [await worker.acquire(model, 400, stop) for _ in range(8)]
    await clients[0].flushdb()
    flushed = now()
    first_after = await worker.acquire(model, 100, stop)
    began = now()
    for booking in before:
        worker.settle(booking, tokens=0)
    assert first_after.epoch != before[0].epoch
    seconds = 1.0
    granted = await grants_until(flushed + seconds, worker, model, tokens=100)
    used = 100 * (1 + within(granted, flushed, flushed + seconds))
    assert used <= per_second * (seconds + 0.02)
    assert used >= 0.9 * per_second * (flushed + seconds - began)


async def test_refund_of_this_epoch_is_credited(new_worker: NewWorker, model: str, stop: Stop) -> None:
    worker = new_worker(60_000, 60_000)
    booking = await worker.acquire(model, 10_000, stop)  # ten seconds' worth
    start = now()
    worker.settle(booking, tokens=0, requests=0)
    await worker.acquire(model, 100, stop)
    assert now() - start < 5


async def test_pause_stops_all_workers_and_ends_without_a_herd(
    new_worker: NewWorker, model: str, short_burst: float
) -> None:
    per_second, pause, after = 200, 0.6, 0.5
    workers = [new_worker(per_second * 60) for _ in range(4)]
    start = now()
    running = [asyncio.create_task(grants_until(start + 0.2 + pause + after, each, model)) for each in workers]
    await asyncio.sleep(0.2)
    asked = now()
    await workers[0].pause(model, pause)
    paused = now()
    times = [time for times in await asyncio.gather(*running) for time in times]
    # The pause begins between the two, and ends as much later.
    beginning, soonest = paused - asked, asked + pause
    # A sleep under 20 ms is not looked at again, so a grant may trail the pause by that.
    assert within(times, paused + 0.03, soonest - 0.01) == 0
    assert within(times, soonest - 0.01, paused + pause + after) <= per_second * (beginning + after) + 2
    assert within(times, soonest, paused + pause + 0.1) <= per_second * (beginning + 0.1) + 3
    assert within(times, soonest, start + 0.2 + pause + after) > 0


async def test_settling_inside_a_long_pause_neither_shortens_nor_loses_it(
    new_worker: NewWorker, model: str, clients: list[Redis], stop: Stop
) -> None:
    """Retry-After 900 s, with replies of calls that were in flight still coming in."""
    worker, other = new_worker(6000, 60_000), new_worker(6000, 60_000)
    bookings = [await worker.acquire(model, 50, stop) for _ in range(4)]
    await worker.pause(model, 900)
    until = await field_of(clients[0], model, "pause_until")
    for booking in bookings:
        worker.settle(booking, tokens=0, requests=0)
    for each in (other, worker):  # news, and then the same again
        await each.learn(model, RateHeaders(100, 1000, 99, 999))
    assert await field_of(clients[0], model, "pause_until") == until
    # All credit is gone at its end, so that nobody starts in a herd: both arrival times lie a burst behind it.
    for unit in ("requests", "tokens"):
        assert await field_of(clients[0], model, unit) >= until + 199
    assert await clients[0].pttl(f"questmill:rate:{model}") > 900_000
    waiting = asyncio.create_task(other.acquire(model, 1, stop))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    stop.set()
    with pytest.raises(Draining):
        await waiting


async def test_shorter_pause_does_not_shorten_a_longer_one(
    new_worker: NewWorker, model: str, clients: list[Redis]
) -> None:
    worker, other = new_worker(6000), new_worker(6000)
    await worker.pause(model, 900)
    until = await field_of(clients[0], model, "pause_until")
    await other.pause(model, 1)
    assert await field_of(clients[0], model, "pause_until") == until


async def test_pause_outlives_a_flush_on_the_worker_that_was_told(
    new_worker: NewWorker, model: str, clients: list[Redis], stop: Stop
) -> None:
    worker = new_worker(6000)
    start = now()
    await worker.pause(model, 0.5)
    await clients[0].flushdb()
    await worker.acquire(model, 1, stop)
    assert now() - start >= 0.49


async def test_limits_are_learned_once_and_found_by_new_workers(
    new_worker: NewWorker, model: str, short_burst: float
) -> None:
    """An unknown model starts small; one reply's headers free all workers, also those that start later."""
    worker = new_worker()
    start = now()
    slow = await grants_until(start + 1.0, worker, model, tokens=10)
    assert len(slow) <= limiter_module.START_REQUESTS_PER_MINUTE / 60 * (1.0 + short_burst) + 1
    await worker.learn(model, RateHeaders(12_000, 12_000_000, 11_999, 11_999_990))
    start = now()
    fast = await grants_until(start + 1.0, new_worker(), model, tokens=10)
    assert 100 <= len(fast) <= 200 * (1 + short_burst)


async def test_learned_limit_wakes_a_worker_that_waits_at_the_small_start(
    new_worker: NewWorker, model: str, stop: Stop
) -> None:
    worker, other = new_worker(), new_worker()
    start = now()
    waiting = asyncio.create_task(worker.acquire(model, 100_000, stop))  # worth 50 s at the small start
    await asyncio.sleep(0.05)
    second = asyncio.create_task(other.acquire(model, 100_000, stop))
    await asyncio.sleep(0.05)
    await new_worker().learn(model, RateHeaders(60_000, 600_000_000, 59_999, 599_999_999))
    await asyncio.gather(waiting, second)
    assert now() - start < 4


async def test_server_without_limits_is_not_held_at_the_small_start(
    new_worker: NewWorker, model: str, stop: Stop
) -> None:
    worker = new_worker()
    await worker.learn(model, None)
    start = now()
    for _ in range(50):
        await worker.acquire(model, 100_000, stop)
    assert now() - start < 5


async def test_ceiling_of_the_user_holds_above_a_larger_learned_limit(
    new_worker: NewWorker, model: str, short_burst: float
) -> None:
    worker = new_worker(1200)
    await worker.learn(model, RateHeaders(60_000, None, 59_999, None))
    start = now()
    assert len(await grants_until(start + 1.0, worker, model)) <= 20 * (1 + short_burst) + 1


async def test_little_left_at_the_provider_takes_the_credit_away(new_worker: NewWorker, model: str, stop: Stop) -> None:
    """Somebody else uses the same account: 0 requests are left, so no burst is."""
    worker = new_worker()
    limits = RateHeaders(600, None, 599, None)
    await worker.learn(model, limits)
    await asyncio.sleep(0.3)
    start = now()
    await worker.learn(model, RateHeaders(600, None, 0, None))
    await worker.acquire(model, 0, stop)
    await worker.acquire(model, 0, stop)
    assert now() - start >= 0.19


async def test_nothing_starts_while_redis_is_away(model: str, unused_tcp_port: int, stop: Stop) -> None:
    client = open_limiter_redis(f"redis://127.0.0.1:{unused_tcp_port}/0")
    worker = RateLimiter(client, {model: RateLimit(requests_per_minute=60_000)})
    waiting = asyncio.create_task(worker.acquire(model, 1, stop))
    async with asyncio.timeout(10):
        while worker.redis_failures < 2:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.01)
    assert not waiting.done()
    stop.set()
    with pytest.raises(Draining):
        await waiting
    await worker.close()
    await client.aclose()


async def test_frozen_redis_neither_blocks_the_loop_nor_lets_a_call_through(
    model: str, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and never answers: each command ends by its time-out, other work goes on."""
    monkeypatch.setattr(limiter_module, "REDIS_TIMEOUT_SECONDS", 1.5)
    accepted = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    client = open_limiter_redis(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    worker = RateLimiter(client, {})
    waiting = asyncio.create_task(worker.acquire(model, 1, stop))
    await accepted.wait()
    longest = 0.0
    while worker.redis_failures < 2:
        before = now()
        await asyncio.sleep(0.01)
        longest = max(longest, now() - before)
    assert longest < 1.0
    assert not waiting.done()
    stop.set()
    with pytest.raises(Draining):
        await waiting
    await worker.close()
    await client.aclose()
    server.close()


async def test_stop_wakes_everybody_who_waits(new_worker: NewWorker, model: str) -> None:
    worker, stop = new_worker(60), Stop()
    waiting = [asyncio.create_task(worker.acquire(model, 1, stop)) for _ in range(20)]
    await asyncio.sleep(0.1)
    start = now()
    stop.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, Draining) for result in results)
    assert now() - start < 5


async def test_refund_that_nobody_knows_to_be_too_old_is_dropped_by_redis(
    new_worker: NewWorker, model: str, clients: list[Redis], stop: Stop
) -> None:
    """The state is lost and begun anew by another worker; this one hears of it only when its refund is there."""
    worker, other = new_worker(60_000, 600_000), new_worker(60_000, 600_000)
    bookings = [await worker.acquire(model, 100, stop) for _ in range(4)]
    await clients[0].flushdb()
    await other.acquire(model, 100, stop)
    began = {unit: await field_of(clients[0], model, unit) for unit in ("requests", "tokens")}
    for booking in bookings:
        worker.settle(booking, tokens=0, requests=0)
    await worker.close()
    assert {unit: await field_of(clients[0], model, unit) for unit in ("requests", "tokens")} == began
    assert not worker.stands(bookings[0])


async def test_settlements_arrive_without_another_call(new_worker: NewWorker, model: str, clients: list[Redis]) -> None:
    worker = new_worker(60_000, 60_000)
    bookings = [await worker.acquire(model, 2000, Stop()) for _ in range(3)]
    before = await field_of(clients[0], model, "tokens")
    for booking in bookings:
        worker.settle(booking, tokens=1700)
    async with asyncio.timeout(5):
        while await field_of(clients[0], model, "tokens") == before:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)
    assert before - await field_of(clients[0], model, "tokens") == pytest.approx(3 * 300, abs=1)


async def test_many_waiters_of_a_worker_cost_few_talks(new_worker: NewWorker, model: str, clients: list[Redis]) -> None:
    worker = new_worker(60_000)
    await worker.acquire(model, 0, Stop())
    before = (await clients[0].info("commandstats"))["cmdstat_evalsha"]["calls"]
    start = now()
    await asyncio.gather(*(worker.acquire(model, 0, Stop()) for _ in range(300)))
    assert now() - start >= 0.09  # at 1,000 a second, 200 of them are the burst of 0.2 s at most
    assert (await clients[0].info("commandstats"))["cmdstat_evalsha"]["calls"] - before <= 100


async def test_waiters_of_a_worker_start_in_order_of_arrival(new_worker: NewWorker, model: str) -> None:
    worker, order = new_worker(12_000), []

    async def caller(number: int) -> None:
        await worker.acquire(model, 0, Stop())
        order.append(number)

    await asyncio.gather(*map(caller, range(60)))
    assert order == list(range(60))


async def test_stopped_waiters_give_back_what_they_had_booked(
    new_worker: NewWorker, model: str, clients: list[Redis], stop: Stop
) -> None:
    worker = new_worker(60_000, 60_000)
    await worker.acquire(model, 100, Stop())
    before = await field_of(clients[0], model, "tokens")
    waiting = [asyncio.create_task(worker.acquire(model, 9000, stop)) for _ in range(4)]
    async with asyncio.timeout(5):
        while await field_of(clients[0], model, "tokens") < before + 36_000:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    await worker.close()
    assert await field_of(clients[0], model, "tokens") <= before + 1000


async def test_real_burst_is_a_tenth_of_a_minute() -> None:
    assert BURST_SECONDS == 6.0
