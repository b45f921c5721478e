import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from workers.loop import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    started = LoopThread(stall_seconds=30)
    yield started
    started.stop()


async def where() -> int:
    return threading.get_ident()


def test_all_work_runs_in_one_thread_that_is_not_the_callers(loop: LoopThread) -> None:
    with ThreadPoolExecutor(4) as pool:
        threads = set(pool.map(lambda _: loop.run(where()), range(8)))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_exception_reaches_its_caller_and_the_loop_lives_on(loop: LoopThread) -> None:
    async def fail() -> None:
        raise ValueError("a test")

    for _ in range(3):
        with pytest.raises(ValueError, match="a test"):
            loop.run(fail())
    assert loop.run(asyncio.sleep(0, "alive")) == "alive"


def test_work_of_several_threads_goes_on_side_by_side(loop: LoopThread) -> None:
    barrier: asyncio.Barrier = asyncio.Barrier(3)

    async def meet() -> int:
        async with asyncio.timeout(5):
            return await barrier.wait()

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(lambda _: loop.run(meet()), range(3))) == [0, 1, 2]
