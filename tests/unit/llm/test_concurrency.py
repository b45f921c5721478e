import asyncio

import pytest

from shared.llm.concurrency import AdaptiveConcurrency, Turnstile
from shared.llm.stop import Draining, Stop


async def test_turns_are_given_in_order_of_arrival() -> None:
    gate, stop, order = Turnstile(1), Stop(), []
    await gate.enter(stop)

    async def visitor(number: int) -> None:
        await gate.enter(stop)
        order.append(number)
        gate.leave()

    visitors = [asyncio.create_task(visitor(number)) for number in range(5)]
    await asyncio.sleep(0)
    gate.leave()
    await asyncio.gather(*visitors)
    assert order == [0, 1, 2, 3, 4]
    assert gate.inside == 0


async def test_newcomer_does_not_overtake() -> None:
    gate, stop = Turnstile(1), Stop()
    await gate.enter(stop)
    first = asyncio.create_task(gate.enter(stop))
    await asyncio.sleep(0)
    gate.leave()  # the place now belongs to `first`, which has not run yet
    second = asyncio.create_task(gate.enter(stop))
    await asyncio.sleep(0)
    assert first.done()
    assert not second.done()
    gate.leave()
    await second


async def test_stop_wakes_only_those_who_wait_under_it() -> None:
    gate, mine, other = Turnstile(1), Stop(), Stop()
    await gate.enter(mine)
    stopped = asyncio.create_task(gate.enter(mine))
    waiting = asyncio.create_task(gate.enter(other))
    await asyncio.sleep(0)
    mine.set()
    with pytest.raises(Draining):
        await stopped
    assert not waiting.done()
    gate.leave()
    await waiting
    with pytest.raises(Draining):
        await gate.enter(mine)
    assert gate.inside == 1


@pytest.mark.parametrize("given_before", [False, True])
async def test_cancelled_waiter_loses_no_place(given_before: bool) -> None:
    gate, stop = Turnstile(1), Stop()
    await gate.enter(stop)
    waiting = asyncio.create_task(gate.enter(stop))
    await asyncio.sleep(0)
    if given_before:
        gate.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not given_before:
        gate.leave()
    assert gate.inside == 0
    await asyncio.wait_for(gate.enter(stop), 1)


async def test_cap_falls_once_per_cascade_and_rises_once_per_window() -> None:
    cap = AdaptiveConcurrency(64)
    for _ in range(10):  # all sent before the first of them was refused
        cap.on_throttled(0)
    assert cap.capacity == 48
    cap.on_throttled(1)
    assert cap.capacity == 36
    for _ in range(36):
        cap.on_success()
    assert cap.capacity == 37


async def test_cap_stays_between_one_and_its_maximum() -> None:
    cap = AdaptiveConcurrency(2)
    for cascade in range(10):
        cap.on_throttled(cascade)
    assert cap.capacity == 1
    for _ in range(100):
        cap.on_success()
    assert cap.capacity == 2


async def test_lowered_cap_lets_nobody_in_until_enough_have_left() -> None:
    cap, stop = AdaptiveConcurrency(4), Stop()
    for _ in range(4):
        await cap.enter(stop)
    cap.on_throttled(0)
    waiting = asyncio.create_task(cap.enter(stop))
    await asyncio.sleep(0)
    cap.leave()
    await asyncio.sleep(0)
    assert not waiting.done()
    cap.leave()
    await waiting


async def test_sleep_ends_by_time_or_at_once_by_stop() -> None:
    stop = Stop()
    await stop.sleep(0.001)
    sleeping = asyncio.create_task(stop.sleep(60))
    await asyncio.sleep(0)
    stop.set()
    with pytest.raises(Draining):
        await asyncio.wait_for(sleeping, 1)
