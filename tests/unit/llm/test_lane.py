import asyncio
import time
from collections.abc import Callable, Container
from random import Random

import pytest

from shared.llm import lane as lane_module
from shared.llm.lane import CHECK_SECONDS, SLEEPERS, UNCHECKED_SECONDS, Heard, Lane, Message, Waiter
from shared.llm.provider import RateHeaders


class FakeRedis:
    """Books everything at `wait_seconds`, up to as many as are sure; keeps what it was told, and when."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.talked_at: list[float] = []
        self.epoch = "1"
        self.wait_seconds = 0.0
        self.away: Container[int] = ()  # the talks without an answer, counted from 1
        self.then: Callable[[], None] | None = None  # happens once an answer is heard, before anything else can
        self.answers = asyncio.Event()
        self.answers.set()

    async def talk(self, message: Message) -> Heard | None:
        loop = asyncio.get_running_loop()
        self.messages.append(message)
        self.talked_at.append(loop.time())
        await self.answers.wait()
        if len(self.messages) in self.away:
            return None
        if self.then is not None:
            loop.call_soon(self.then)
            self.then = None
        soon = self.wait_seconds <= UNCHECKED_SECONDS
        booked = message.asked if soon else message.asked[: max(message.sure, 0)]
        return Heard(self.epoch, [self.wait_seconds] * len(booked), None)

    def total(self) -> tuple[int, int]:
        """What was settled in all."""
        return sum(each.requests for each in self.messages), sum(each.tokens for each in self.messages)

    def become(self, epoch: str, wait_seconds: float) -> None:
        """Book so from now on."""
        self.epoch, self.wait_seconds = epoch, wait_seconds


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def lane(redis: FakeRedis) -> Lane:
    return Lane(redis.talk, Random(1))


async def granted(waiters: list[Waiter]) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*(waiter.turn for waiter in waiters))


async def eventually(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not look():  # noqa: ASYNC110 - the fake tells nobody
            await asyncio.sleep(0.001)


async def test_calls_that_wait_together_are_asked_for_in_one_talk(redis: FakeRedis, lane: Lane) -> None:
    waiters = [lane.join(tokens) for tokens in range(1, 31)]
    await granted(waiters)
    assert [list(each.asked) for each in redis.messages] == [list(range(1, 31))]


async def test_a_booking_that_was_heard_late_starts_before_the_next(redis: FakeRedis, lane: Lane) -> None:
    redis.wait_seconds = 0.3
    order: list[str] = []
    first = lane.join(1)
    first.turn.add_done_callback(lambda _: order.append("first"))
    await eventually(lambda: first.due > 0)
    redis.wait_seconds = 0.1  # as Redis counts: asked for later, due later, but heard at once
    second = lane.join(1)
    second.turn.add_done_callback(lambda _: order.append("second"))
    await granted([first, second])
    assert order == ["first", "second"]


async def test_turns_come_in_order_of_arrival(redis: FakeRedis, lane: Lane) -> None:
    redis.wait_seconds = 0.03
    order: list[int] = []
    waiters = [lane.join(number) for number in range(3 * SLEEPERS)]

    async def start(waiter: Waiter) -> None:
        await waiter.turn
        order.append(waiter.tokens)

    await asyncio.gather(*map(start, waiters))
    assert order == list(range(3 * SLEEPERS))
    assert max(len(each.asked[: max(each.sure, 0)]) for each in redis.messages) == SLEEPERS


async def test_settlements_are_added_up_and_told_once(redis: FakeRedis, lane: Lane) -> None:
    await granted([lane.join(100)])
    for tokens in (-30, -20, 5):
        lane.settle("1", requests=0, tokens=tokens)
    assert redis.total() == (0, 0)
    await eventually(lambda: redis.total() == (0, -45))
    await lane.close()
    assert redis.total() == (0, -45)


async def test_settlement_of_an_older_epoch_is_dropped(redis: FakeRedis, lane: Lane) -> None:
    await granted([lane.join(100)])
    redis.messages.clear()
    redis.answers.clear()
    learning = asyncio.create_task(lane.learn(RateHeaders(limit_requests=6000)))
    await eventually(lambda: len(redis.messages) == 1)
    lane.settle("1", requests=0, tokens=-30)  # the answer under way ends its epoch
    redis.epoch = "2"
    redis.answers.set()
    await learning
    await lane.close()
    assert redis.total() == (0, 0)
    lane.settle("1", requests=0, tokens=-50)
    lane.settle("2", requests=0, tokens=-7)
    await lane.close()
    assert redis.total() == (0, -7)


async def test_closing_tells_what_is_left(redis: FakeRedis, lane: Lane) -> None:
    await granted([lane.join(100)])
    lane.settle("1", requests=-1, tokens=-100)
    await lane.close()
    assert redis.total() == (-1, -100)


async def test_settlement_that_got_no_answer_is_not_repeated(redis: FakeRedis, lane: Lane) -> None:
    """It may have been taken all the same: twice would be credit that nobody paid in."""
    await granted([lane.join(100)])
    redis.away = {2}
    lane.settle("1", requests=0, tokens=-30)
    await lane.close()
    lane.settle("1", requests=0, tokens=-1)
    await lane.close()
    assert [each.tokens for each in redis.messages[1:]] == [-30, -1]


async def test_nobody_starts_without_an_answer(redis: FakeRedis, lane: Lane) -> None:
    redis.away = {1}
    await granted([lane.join(1)])
    assert [len(each.asked) for each in redis.messages] == [1, 1]
    assert redis.talked_at[1] - redis.talked_at[0] >= 0.2 * CHECK_SECONDS


async def test_who_leaves_gives_back_what_was_booked_and_is_asked_for_no_more(redis: FakeRedis, lane: Lane) -> None:
    redis.wait_seconds = 60
    waiters = [lane.join(10 + number) for number in range(SLEEPERS + 1)]
    await eventually(lambda: bool(waiters[0].epoch))
    for waiter in (waiters[0], waiters[SLEEPERS]):  # booked; still queueing
        lane.leave(waiter)
    await lane.close()
    assert redis.total() == (-1, -10)
    assert all(10 + SLEEPERS not in each.asked for each in redis.messages[1:])


async def test_who_leaves_while_it_is_booked_gives_it_back(redis: FakeRedis, lane: Lane) -> None:
    redis.answers.clear()
    waiter = lane.join(10)
    await eventually(lambda: len(redis.messages) == 1)
    lane.leave(waiter)
    redis.answers.set()
    await eventually(lambda: redis.total() == (-1, -10))


async def test_new_epoch_voids_bookings_which_are_made_again_in_order(redis: FakeRedis, lane: Lane) -> None:
    redis.wait_seconds = 60
    waiters = [lane.join(number) for number in range(SLEEPERS + 3)]
    await eventually(lambda: bool(waiters[0].epoch))
    redis.become("2", 0.0)
    redis.messages.clear()
    await lane.learn(RateHeaders(limit_requests=6000))
    await granted(waiters)
    assert [tokens for each in redis.messages for tokens in each.asked] == list(range(SLEEPERS + 3))
    assert {waiter.epoch for waiter in waiters} == {"2"}


async def test_booking_is_looked_at_again_before_a_start_that_was_far_off(
    redis: FakeRedis, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "CHECK_SECONDS", 60.0)
    redis.wait_seconds = 4 * UNCHECKED_SECONDS
    redis.away = {2}  # so it cannot be known whether the booking still stands
    waiter = lane.join(1)
    await eventually(lambda: len(redis.messages) >= 2 or waiter.turn.done())
    await asyncio.sleep(6 * UNCHECKED_SECONDS)
    assert not waiter.turn.done()
    lane.leave(waiter)


async def test_booking_that_cannot_be_looked_at_is_made_again_and_redis_left_in_peace(
    redis: FakeRedis, lane: Lane
) -> None:
    redis.wait_seconds = 2 * UNCHECKED_SECONDS
    redis.away = {2}
    redis.then = lambda: redis.become("1", 0.0)
    await granted([lane.join(1)])
    assert [len(each.asked) for each in redis.messages] == [1, 0, 1]
    assert redis.talked_at[2] - redis.talked_at[1] >= 0.2 * CHECK_SECONDS


async def test_process_that_stood_still_looks_before_it_starts_a_call(redis: FakeRedis, lane: Lane) -> None:
    """FAULTS 5: its booking came due meanwhile, but may have been voided, too."""
    redis.wait_seconds = 0.75 * UNCHECKED_SECONDS

    def stand_still() -> None:
        redis.become("2", 60.0)
        time.sleep(3 * UNCHECKED_SECONDS)

    redis.then = stand_still
    waiter = lane.join(1)
    await eventually(lambda: waiter.epoch == "2" or waiter.turn.done())
    assert waiter.epoch == "2"
    assert not waiter.turn.done()
    lane.leave(waiter)
    await lane.close()


async def test_sleeper_hears_of_a_new_epoch_within_a_second(redis: FakeRedis, lane: Lane) -> None:
    redis.wait_seconds = 60
    redis.then = lambda: redis.become("2", 0.0)
    async with asyncio.timeout(CHECK_SECONDS + 1):
        await lane.join(1).turn


async def test_pauses_of_one_storm_are_told_once(redis: FakeRedis, lane: Lane) -> None:
    await asyncio.gather(*(lane.pause(60.0) for _ in range(50)))
    assert len(redis.messages) <= 2
    assert lane.pause_left > 50
    waiter = lane.join(1)
    await asyncio.sleep(0.05)
    assert not any(each.asked for each in redis.messages)
    assert len(redis.messages) <= 2
    lane.leave(waiter)
    await lane.close()


async def test_longer_pause_is_told_after_a_shorter_one(redis: FakeRedis, lane: Lane) -> None:
    await lane.pause(60.0)
    await lane.pause(3000.0)
    assert [round(each.pause_seconds, -1) for each in redis.messages] == [60, 3000]


async def test_same_limits_of_many_replies_are_told_once(redis: FakeRedis, lane: Lane) -> None:
    await granted([lane.join(1)])
    await asyncio.gather(*(lane.learn(RateHeaders(limit_requests=600)) for _ in range(50)))
    assert [each.learned.limit_requests for each in redis.messages] == [None, 600]


async def test_fault_of_ours_is_raised_where_somebody_waits() -> None:
    async def talk(message: Message) -> Heard | None:
        raise LookupError

    lane = Lane(talk, Random(1))
    waiter = lane.join(1)
    with pytest.raises(LookupError):
        await waiter.turn


async def test_busy_loop_does_not_keep_a_call_from_starting(
    redis: FakeRedis, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was heard is old whenever the loop comes round; an answer that has just come counts all the same."""
    monkeypatch.setattr(lane_module, "UNCHECKED_SECONDS", 0.0)
    redis.wait_seconds = 0.003
    await granted([lane.join(1) for _ in range(5)])
