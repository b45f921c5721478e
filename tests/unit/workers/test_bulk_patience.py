import asyncio

from shared.llm.bulk import BulkProblem
from shared.llm.provider import Outcome
from workers.bulk_patience import LONGEST_SECONDS, Patience


def problem(retry_after: float | None = None) -> BulkProblem:
    return BulkProblem(Outcome.OVERLOADED, "busy", retry_after_seconds=retry_after)


def wait_of(patience: Patience, provider: str = "openai") -> float:
    return patience._not_before[provider] - asyncio.get_running_loop().time()


async def test_a_provider_is_left_alone_twice_as_long_each_time_until_it_takes_something() -> None:
    patience = Patience(30)
    assert not patience.is_waiting("openai")
    for expected in (30, 60, 120):
        patience.note("openai", problem())
        assert patience.is_waiting("openai")
        assert expected - 1 < wait_of(patience) <= expected
    assert not patience.is_waiting("anthropic")
    for _ in range(100):
        patience.note("openai", problem())
    assert LONGEST_SECONDS - 1 < wait_of(patience) <= LONGEST_SECONDS
    patience.reset("openai")
    assert not patience.is_waiting("openai")
    patience.note("openai", problem())
    assert wait_of(patience) <= 30


async def test_a_wait_is_never_shorter_than_what_the_provider_asks_for() -> None:
    patience = Patience(1)
    patience.note("openai", problem(retry_after=90))
    assert 89 < wait_of(patience) <= 90
