import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from shared.database.grouped import Grouped


class Table:
    """What was written, group by group; it opens its door when told to."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[int]]] = []
        self.door = asyncio.Event()
        self.door.set()
        self.unwritable: set[int] = set()
        self.away = False

    async def write(self, key: str, items: Sequence[int]) -> list[int | Exception]:
        await self.door.wait()
        self.groups.append((key, list(items)))
        if self.away:
            raise psycopg.OperationalError("the connection broke")
        if self.unwritable & set(items):
            raise ValueError("one of them cannot be written")
        return [LookupError(str(item)) if item < 0 else 2 * item for item in items]


def grouped(table: Table, *, most: int = 10) -> Grouped[str, int, int]:
    return Grouped(table.write, pace_seconds=0.02, most=most)


async def ask(writes: Grouped[str, int, int], *items: int, key: str = "a") -> list[int | BaseException]:
    return await asyncio.gather(*(writes(key, item) for item in items), return_exceptions=True)


async def test_who_comes_alone_is_written_at_once() -> None:
    table = Table()
    assert await ask(grouped(table), 1) == [2]
    assert table.groups == [("a", [1])]


async def test_what_comes_while_a_group_is_written_forms_the_next() -> None:
    table = Table()
    table.door.clear()
    asked = asyncio.create_task(ask(grouped(table, most=3), *range(6)))
    await asyncio.sleep(0)
    table.door.set()
    assert await asked == [0, 2, 4, 6, 8, 10]
    assert table.groups == [("a", [0, 1, 2]), ("a", [3, 4, 5])]


async def test_who_comes_within_the_pace_waits_for_it() -> None:
    table = Table()
    writes = grouped(table)
    clock = asyncio.get_running_loop().time
    began = clock()
    await writes("a", 1)
    await ask(writes, 2, 3)
    assert clock() - began >= 0.019
    assert table.groups == [("a", [1]), ("a", [2, 3])]


async def test_keys_do_not_wait_for_each_other() -> None:
    table = Table()
    writes = grouped(table)
    await asyncio.gather(ask(writes, 1, 2), ask(writes, 3, key="b"))
    assert sorted(table.groups) == [("a", [1, 2]), ("b", [3])]


async def test_an_exception_among_the_results_is_for_its_asker_alone() -> None:
    found = await ask(grouped(Table()), 1, -1)
    assert found[0] == 2
    assert isinstance(found[1], LookupError)


async def test_one_that_cannot_be_written_fails_alone() -> None:
    table = Table()
    table.unwritable = {2}
    found = await ask(grouped(table), 1, 2, 3)
    assert (found[0], found[2]) == (2, 6)
    assert isinstance(found[1], ValueError)


async def test_a_database_that_is_away_is_asked_once_for_all() -> None:
    table = Table()
    table.away = True
    found = await ask(grouped(table), 1, 2, 3)
    assert all(isinstance(each, psycopg.OperationalError) for each in found)
    assert table.groups == [("a", [1, 2, 3])]


async def test_an_asker_that_goes_takes_nobody_along() -> None:
    table = Table()
    table.door.clear()
    writes = grouped(table)
    gone, stays = asyncio.create_task(writes("a", 1)), asyncio.create_task(writes("a", 2))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    table.door.set()
    assert await stays == 4
