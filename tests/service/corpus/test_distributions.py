from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.distributions import describe_lengths, read_distributions
from shared.errors import NotFound
from shared.planning.mix import Cell
from tests.service.jobs.world import add_questions, execute

NUMBERS = count()


@given(st.dictionaries(st.integers(0, 5000), st.integers(1, 100), min_size=1))
def test_every_length_is_in_one_bin(counts: dict[int, int]) -> None:
    described = describe_lengths(counts)
    assert described is not None
    for each in described["bins"]:
        assert each["count"] == sum(n for length, n in counts.items() if each["from"] <= length < each["to"])
    assert sum(each["count"] for each in described["bins"]) == sum(counts.values())
    whole = sorted(length for length, n in counts.items() for _ in range(n))
    assert described["median"] == whole[(len(whole) - 1) // 2]
    edges = [(each["from"], each["to"]) for each in described["bins"]]
    assert all(first[1] == second[0] for first, second in pairwise(edges))


def test_of_nothing_there_is_no_distribution() -> None:
    assert describe_lengths({}) is None


async def stock(engine: AsyncEngine) -> str:
    name = f"lengths-{next(NUMBERS)}"
    await add_questions(engine, name, [f"What is {n} plus {n}?" for n in range(60)])
    await add_questions(engine, name, [f"Who was king number {n}?" for n in range(40)], cell=Cell("history", "hard"))
    of_dataset = "dataset_id = (SELECT id FROM dataset WHERE name = :name)"
    change = f"UPDATE question SET {{}} WHERE {of_dataset} AND domain = :domain"
    await execute(engine, change.format("tags = '{sums,numbers}', completion_tokens = 3"), name=name, domain="math")
    await execute(engine, change.format("tags = '{kings}', prompt_tokens = 700"), name=name, domain="history")
    thrown = "state = 'discarded', tags = '{lost}' "
    await execute(
        engine, change.format(thrown) + " AND text LIKE '% 3%'", name=name, domain="history"
    )  # eleven of the kings
    return name


async def test_a_small_dataset_is_counted_whole(engine: AsyncEngine) -> None:
    found = await read_distributions(engine, await stock(engine), domain=None, difficulty=None)
    assert (found["questions"], found["looked_at"], found["sampled"]) == (89, 89, False)
    assert [(each["name"], each["count"]) for each in found["topics"]] == [("numbers", 60), ("sums", 60), ("kings", 29)]
    assert found["models"] == [{"name": "baseline", "count": 89}]
    assert found["prompt_tokens"]["median"] == 15
    counts = {(each["from"], each["to"]): each["count"] for each in found["prompt_tokens"]["bins"]}
    assert (counts[12, 16], counts[512, 725]) == (60, 29)
    assert (found["completion_tokens"]["mean"], sum(each["count"] for each in found["completion_tokens"]["bins"])) == (
        3,
        60,
    )


async def test_a_kind_of_questions_is_counted_alone(engine: AsyncEngine) -> None:
    name = await stock(engine)
    found = await read_distributions(engine, name, domain="history", difficulty="hard")
    assert (found["questions"], found["prompt_tokens"]["mean"], found["completion_tokens"]) == (29, 700, None)
    nothing = await read_distributions(engine, name, domain="math", difficulty="hard")
    assert (nothing["questions"], nothing["prompt_tokens"], nothing["topics"]) == (0, None, [])


async def test_of_a_large_dataset_some_are_counted_and_it_says_so(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await stock(engine)
    monkeypatch.setattr("shared.corpus.distributions.MOST_READ", 50)
    monkeypatch.setattr("shared.corpus.distributions.RUNS", 10)
    found = await read_distributions(engine, name, domain=None, difficulty=None)
    assert (found["questions"], found["sampled"]) == (89, True)
    assert 20 < found["looked_at"] <= 50
    assert {each["name"] for each in found["topics"]} == {"numbers", "sums", "kings"}, "from first to last"
    assert found == await read_distributions(engine, name, domain=None, difficulty=None), "the same each time"
    whole = await read_distributions(engine, name, domain="history", difficulty=None)
    assert (whole["looked_at"], whole["sampled"]) == (29, False), "a small kind of a large dataset"


async def test_no_dataset_has_none(engine: AsyncEngine) -> None:
    with pytest.raises(NotFound):
        await read_distributions(engine, "nowhere", domain=None, difficulty=None)
