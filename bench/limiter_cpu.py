"""CPU of the rate limiter alone: 200 calls wait for a rate of 400 a second, beside one bare Redis script per call."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from bench.report import Report, draw_bars, medians
from local.process import start_tethered
from local.valkey import EmbeddedValkey
from shared.llm.limiter import RateLimiter, open_limiter_redis
from shared.llm.stop import Draining, Stop
from shared.settings import RateLimit
from tests.faults.system import wait_until

CLAIM = "the limiter, 400 calls/s with 200 waiting: CPU a call, booked and settled / one bare script call: <= 0.75"
BOUND = 0.75
RATE = 400
WAITERS = 200
SECONDS = 3.0
_numbers = count(1)


def measure(rounds: int) -> Report:
    """The limiter, a bare script at the same rate, and again, in one process against a server of its own.

    The bare script is what a limiter that asks once per call costs at least, without settling anything.
    """
    found = []
    with _valkey() as url:
        for _ in range(rounds):
            limiter = asyncio.run(_cpu_ms_per_call(url, _limited))
            bare = asyncio.run(_cpu_ms_per_call(url, _bare))
            found.append({"limiter_ms": limiter, "bare_script_ms": bare, "ratio": limiter / bare})
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {"limiter: booked and settled": result["ratio"], "one bare script": 1.0}
        draw_bars(figure, bars, label="CPU a call, one bare script = 1", bound=BOUND)

    return Report(CLAIM, found, result, result["ratio"] <= BOUND, draw)


async def _cpu_ms_per_call(url: str, calls: Callable[[str], Awaitable[int]]) -> float:
    before = time.process_time()
    made = await calls(url)
    return (time.process_time() - before) / made * 1000


async def _limited(url: str) -> int:
    model = f"openai/bench-{next(_numbers)}"
    client, stop, made = open_limiter_redis(url), Stop(), 0
    limiter = RateLimiter(client, {model: RateLimit(requests_per_minute=RATE * 60, tokens_per_minute=RATE * 60_000)})

    async def call() -> None:
        nonlocal made
        while True:
            try:
                booking = await limiter.acquire(model, 1000, stop)
            except Draining:
                return
            limiter.settle(booking, tokens=500)
            made += 1

    calls = [asyncio.create_task(call()) for _ in range(WAITERS)]
    await asyncio.sleep(SECONDS)
    stop.set()
    await asyncio.gather(*calls)
    await limiter.close()
    await client.aclose()
    return made


async def _bare(url: str) -> int:
    client = open_limiter_redis(url)
    script = client.register_script("return {redis.call('TIME')[1], 1}")
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(int(RATE * SECONDS)):
        await asyncio.sleep(start + number / RATE - loop.time())
        await script(keys=["bench"], args=[1, 1000, 500])
    await client.aclose()
    return int(RATE * SECONDS)


@contextmanager
def _valkey() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        server = EmbeddedValkey(Path(folder))
        process = start_tethered(server.command(), Path(folder) / "log")
        try:
            wait_until(lambda: server.is_ready() or None, "Valkey")
            yield server.url()
        finally:
            process.terminate()
            process.wait(10)
