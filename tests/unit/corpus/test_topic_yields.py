"""How much a topic may still hold, by what has come again."""

from random import Random

import pytest

from shared.corpus.topic_yields import TopicYield, estimate_pools


def fish(size: int, replies: int, random: Random, topic: str = "ponds") -> TopicYield:
    """Replies of ten draws from a pool in which each question is equally likely."""
    known: set[int] = set()
    generated = recaptured = 0
    marked = 0.0
    for _ in range(replies):
        drawn = random.sample(range(size), 10)
        generated += 10
        marked += 10 * len(known)
        recaptured += sum(each in known for each in drawn)
        known |= set(drawn)
    return TopicYield(topic, generated, len(known), marked=marked, recaptured=recaptured)


@pytest.mark.parametrize("size", [300, 1_000, 5_000])
def test_a_pool_drawn_from_evenly_is_estimated_about_right(size: int) -> None:
    estimates = []
    for seed in range(20):
        its = fish(size, 60, Random(seed))
        pools = estimate_pools(["ponds"], {"ponds": its})
        assert pools is not None
        estimates.append(pools["ponds"])
    assert sum(estimates) / len(estimates) == pytest.approx(size, rel=0.1)


def test_nothing_is_said_before_something_has_come_again() -> None:
    assert estimate_pools(["ponds"], {}) is None
    assert estimate_pools(["ponds"], {"ponds": TopicYield("ponds", 40, 39, marked=400, recaptured=1)}) is None


def test_a_topic_without_repeats_is_taken_to_be_like_the_others() -> None:
    its = fish(500, 60, Random(1))
    pools = estimate_pools(["ponds", "lakes"], {"ponds": its})
    assert pools is not None
    assert pools["lakes"] == pytest.approx(pools["ponds"], rel=0.05)


def test_no_pool_is_smaller_than_what_is_known() -> None:
    pools = estimate_pools(["ponds"], {"ponds": TopicYield("ponds", 900, 800, marked=10, recaptured=90)})
    assert pools == {"ponds": 800}
