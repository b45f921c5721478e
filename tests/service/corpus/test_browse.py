from itertools import product

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.browse import Kind, browse_questions
from shared.database.states import QuestionState
from shared.errors import NotFound
from shared.planning.mix import Cell
from tests.service.jobs.world import add_questions, execute

NAME = "browsed"
KINDS = [
    Kind(domain, difficulty, state, selected)
    for domain, difficulty, state, selected in product(
        (None, "Math", "reading", "nowhere"), (None, "hard"), (None, QuestionState.RESERVE), (None, True, False)
    )
]


@pytest.fixture(scope="module")
async def stocked(engine: AsyncEngine) -> None:
    """Sixty questions of three cells, one after the other, every fifth in reserve; between them another dataset's."""
    for place, cell in enumerate((Cell("math", "easy"), Cell("math", "hard"), Cell("reading", "easy"))):
        await add_questions(engine, f"other-{place}", [f"Is {n} even?" for n in range(30)], cell=cell)
        texts = [f"What is Apple number {n} of kind {place}?" for n in range(20)]
        await add_questions(engine, NAME, texts, cell=cell)
    await execute(engine, "UPDATE question SET state = 'reserve' WHERE text LIKE '%number %5 of%'")


async def pages(engine: AsyncEngine, kind: Kind, text: str | None, limit: int) -> tuple[list[str], int]:
    """All that is found, page by page, and how many pages that took."""
    found: list[str] = []
    after, count = None, 0
    while True:
        page = await browse_questions(engine, NAME, kind, text=text, after=after, limit=limit)
        count += 1
        found += [row["question"] for row in page.rows]
        if len(page.rows) == limit:
            after = page.rows[-1]["id"]
        elif page.looked_until is not None:
            assert after is None or page.looked_until > after
            after = page.looked_until
        else:
            return found, count


@pytest.mark.parametrize("text", [None, "APPLE number 1", "pear"])
async def test_pages_of_a_bounded_search_find_what_one_look_finds(
    engine: AsyncEngine, stocked: None, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {kind: await pages(engine, kind, text, 100) for kind in KINDS}
    monkeypatch.setattr("shared.corpus.browse.MOST_READ", 7)
    for kind in KINDS:
        found, _ = await pages(engine, kind, text, 3)
        assert found == whole[kind][0], kind
    assert all(count == 1 for _, count in whole.values())


async def test_a_search_that_finds_nothing_breaks_off(
    engine: AsyncEngine, stocked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.corpus.browse.MOST_READ", 7)
    assert await pages(engine, Kind(), "pear", 3) == ([], 9)


async def test_kinds_are_found_whole(engine: AsyncEngine, stocked: None) -> None:
    sizes = {
        Kind(): 60, Kind(domain="MATH"): 40, Kind(domain="math", difficulty="hard"): 20, Kind(domain="nowhere"): 0,
        Kind(state=QuestionState.RESERVE): 6, Kind(selected=True): 54, Kind(selected=False, domain="reading"): 2,
    }  # fmt: skip
    for kind, size in sizes.items():
        found, _ = await pages(engine, kind, None, 100)
        assert len(set(found)) == len(found) == size, kind
    assert len((await pages(engine, Kind(), "apple NUMBER 1", 100))[0]) == 3 * 11


async def test_no_dataset_is_not_found(engine: AsyncEngine) -> None:
    with pytest.raises(NotFound):
        await browse_questions(engine, "nowhere", Kind(), text=None, after=None, limit=5)
