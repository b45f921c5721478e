from collections import Counter
from itertools import product
from random import Random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.fence import Hold, confirm_hold
from shared.errors import NotFound
from shared.ids import QuestionId, new_job_id
from shared.jobs.agreement import fleiss_kappa, read_agreement
from tests.service.factories import add_verdict, admit_reply, make_hold, set_spec

TEXTS = ("Why is ice slippery?", "Who dug the canal?", "What do bees eat?", "Where do rivers end?", "When is noon?")


async def judged_job(engine: AsyncEngine, name: str, *, votes: int) -> tuple[Hold, tuple[QuestionId, ...]]:
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        await set_spec(conn, hold.job_id, stages=["generate", "validate"], judging={"votes": votes, "least": 4})
        await confirm_hold(conn, hold)
        return hold, (await admit_reply(conn, hold, *TEXTS)).admitted


def test_kappa_of_a_worked_example() -> None:
    # Two raters, 50 questions: 20 yes-yes, 15 no-no, 15 split. P = 0.7, q = 0.55, E = 0.505.
    assert fleiss_kappa({2: 20, 1: 15, 0: 15}, 2) == pytest.approx((0.7 - 0.505) / 0.495)


def test_kappa_at_its_ends() -> None:
    assert fleiss_kappa({3: 7, 0: 5}, 3) == pytest.approx(1)
    assert fleiss_kappa({1: 10}, 2) == pytest.approx(-1)
    assert [fleiss_kappa(each, 3) for each in ({}, {3: 9}, {0: 2})] == [None] * 3
    assert fleiss_kappa({1: 4, 0: 2}, 1) is None
    rng = Random(5)
    by_chance = Counter(sum(rng.random() < 0.7 for _ in range(3)) for _ in range(100_000))
    assert abs(fleiss_kappa(by_chance, 3) or 1) < 0.01


async def test_votes_are_counted_and_compared(engine: AsyncEngine) -> None:
    hold, (good, split, poor, lost, unjudged) = await judged_job(engine, "votes", votes=3)
    async with engine.begin() as conn:
        for vote in range(3):
            await add_verdict(conn, hold, good, vote=vote)
            await add_verdict(conn, hold, split, vote=vote, clear=3 if vote == 0 else 4)
            await add_verdict(conn, hold, poor, vote=vote, safe=1, clear=5 - vote * 2)
        await add_verdict(conn, hold, lost, vote=0, clear=1)
    found = await read_agreement(engine, hold.job_id, by_cell=True)
    counts = ("judged", "accepted", "rejected", "open", "verdicts", "votes", "least")
    assert [found[name] for name in counts] == [4, 2, 1, 1, 10, 3, 4]
    assert found["rejected_for"] == {"clear": 1, "safe": 1}
    assert found["differing"] == pytest.approx(1 / 3)
    assert found["criteria"]["clear"]["mean"] == pytest.approx((15 + 11 + 9 + 1) / 10)
    assert found["criteria"]["clear"]["spread"] == pytest.approx((0 + 1 + 4) / 3)
    assert found["criteria"]["safe"] == {"mean": pytest.approx((15 + 15 + 3 + 5) / 10), "spread": 0}
    assert found["kappa"] == pytest.approx(fleiss_kappa({3: 1, 2: 1, 0: 1}, 3))
    [cell] = found.pop("cells")
    assert (cell.pop("domain"), cell.pop("difficulty")) == ("math", "easy")
    assert cell.items() <= found.items()
    assert unjudged not in {good, split, poor, lost}


async def test_of_a_vote_that_was_cast_twice_the_newest_counts_and_other_jobs_do_not(engine: AsyncEngine) -> None:
    hold, (first, *_) = await judged_job(engine, "twice", votes=1)
    other, (_, second, *_) = await judged_job(engine, "others", votes=1)
    for version, clear in (("v1", 1), ("v2", 5)):
        async with engine.begin() as conn:
            await add_verdict(conn, hold, first, version=version, clear=clear)
            await add_verdict(conn, other, second, version=version)
    found = await read_agreement(engine, hold.job_id)
    assert [found[name] for name in ("judged", "accepted", "verdicts", "differing", "kappa")] == [1, 1, 1, None, None]
    assert "cells" not in found


async def test_a_job_that_validates_nothing_and_one_that_is_not_there(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        hold = await make_hold(conn, "nothing")
    found = await read_agreement(engine, hold.job_id, by_cell=True)
    assert (found["votes"], found["judged"], found["kappa"], found["cells"]) == (0, 0, None, [])
    with pytest.raises(NotFound):
        await read_agreement(engine, new_job_id())


@pytest.mark.parametrize(("votes", "questions"), list(product((2, 3, 5), (1, 40))))
def test_kappa_is_within_its_bounds(votes: int, questions: int) -> None:
    rng = Random(votes * questions)
    for _ in range(200):
        kappa = fleiss_kappa(Counter(rng.randint(0, votes) for _ in range(questions)), votes)
        assert kappa is None or -1 / (votes - 1) - 1e-9 <= kappa <= 1 + 1e-9
