"""Small writes that many ask for at about the same time go to the database together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from shared.database.trouble import find_trouble

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")

# An item, and where its asker waits for what becomes of it.
_Asked = tuple[Item, asyncio.Future[Result]]


class Grouped(Generic[Key, Item, Result]):
    """Writes what is asked for under one key in groups, one after the other, in the order of asking.

    What comes when nothing is under way is written at once. What comes meanwhile, or within `pace_seconds` of the start
    of the group before, waits and forms the next group, of at most `most` items. `write` returns a result for each item
    of a group; an exception among the results is raised for that item's asker alone.
    """

    def __init__(
        self,
        write: Callable[[Key, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        pace_seconds: float,
        most: int,
    ) -> None:
        self._write = write
        self._pace_seconds = pace_seconds
        self._most = most
        self._waiting: dict[Key, list[_Asked[Item, Result]]] = {}
        self._turns: set[asyncio.Task[None]] = set()

    async def __call__(self, key: Key, item: Item) -> Result:
        """Ask for one write and wait until it is done. Raises what its group or it alone met."""
        asked: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if key in self._waiting:
            self._waiting[key].append((item, asked))
        else:
            self._waiting[key] = [(item, asked)]
            # In a context of its own: what it writes, and what is logged then, is of all who ask, not of the first.
            turn = asyncio.create_task(self._take_turns(key), context=Context())
            self._turns.add(turn)
            turn.add_done_callback(self._turns.discard)
        return await asked

    async def _take_turns(self, key: Key) -> None:
        """Write group after group until nobody asks any more."""
        waiting = self._waiting[key]
        clock = asyncio.get_running_loop().time
        try:
            while waiting:
                began = clock()
                group = waiting[: self._most]
                del waiting[: self._most]
                await self._answer(key, group)
                if (rest := began + self._pace_seconds - clock()) > 0:
                    await asyncio.sleep(rest)
        finally:
            del self._waiting[key]

    async def _answer(self, key: Key, group: Sequence[_Asked[Item, Result]]) -> None:
        try:
            for (_, asked), result in zip(group, await self._try(key, [item for item, _ in group]), strict=True):
                if asked.done():
                    continue  # its asker has gone; what was written stands
                if isinstance(result, Exception):
                    asked.set_exception(result)
                else:
                    asked.set_result(result)
        finally:
            for _, asked in group:
                asked.cancel()  # does nothing to those that were answered

    async def _try(self, key: Key, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            return await self._write(key, items)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
            if len(items) == 1 or find_trouble(error) is not None:
                return [error] * len(items)
        # One of them cannot be written, whoever it is with: it alone must fail.
        return [result for item in items for result in await self._try(key, [item])]
