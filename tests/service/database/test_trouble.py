"""What a real Postgres refuses for now is told apart, repeated, and said truthfully."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from local.process import free_port
from shared.database.engine import engine_for
from shared.database.patience import patience
from shared.database.reconnect import is_unreachable, until_reachable
from shared.database.trouble import Trouble, find_trouble, first_line
from tests.service.api.serving import silent_server


@pytest.fixture(scope="module")
async def rows(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await conn.execute(text("CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL)"))
        await conn.execute(text("INSERT INTO pair VALUES (1, 0), (2, 0)"))


async def run(engine: AsyncEngine, statements: tuple[str, ...]) -> None:
    async with engine.begin() as conn:
        for statement in statements:
            await conn.execute(text(statement))


async def error_of(engine: AsyncEngine, *statements: str) -> BaseException:
    with pytest.raises(DBAPIError) as raised:
        await run(engine, statements)
    return raised.value


async def in_each_others_way(engine: AsyncEngine) -> BaseException:
    """The victim's error, of two transactions that each wait for the other's row."""

    async def update(first: int, second: int, met: asyncio.Barrier) -> None:
        async with engine.begin() as conn:
            await conn.execute(text("UPDATE pair SET value = 1 WHERE id = :id"), {"id": first})
            await met.wait()
            await conn.execute(text("UPDATE pair SET value = 1 WHERE id = :id"), {"id": second})

    met = asyncio.Barrier(2)
    results = await asyncio.gather(update(1, 2, met), update(2, 1, met), return_exceptions=True)
    [error] = filter(None, results)
    return error


async def behind_a_lock(engine: AsyncEngine) -> BaseException:
    async with engine.begin() as conn:
        await conn.execute(text("SELECT * FROM pair WHERE id = 1 FOR UPDATE"))
        return await error_of(engine, "SET LOCAL lock_timeout = '10ms'", "UPDATE pair SET value = 2 WHERE id = 1")


async def changed_meanwhile(engine: AsyncEngine) -> BaseException:
    update = "UPDATE pair SET value = value + 1"
    async with engine.connect() as conn:
        await conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await conn.execute(text("SELECT * FROM pair"))
        await run(engine, (update,))
        with pytest.raises(DBAPIError) as raised:
            await conn.execute(text(update))
    return raised.value


async def out_of_time(engine: AsyncEngine) -> BaseException:
    return await error_of(engine, "SET LOCAL statement_timeout = '10ms'", "SELECT pg_sleep(5)")


async def read_only(engine: AsyncEngine) -> BaseException:
    return await error_of(engine, "SET TRANSACTION READ ONLY", "UPDATE pair SET value = 3")


async def terminated(engine: AsyncEngine) -> BaseException:
    return await error_of(engine, "SELECT pg_terminate_backend(pg_backend_pid())")


async def not_there(_: AsyncEngine) -> BaseException:
    async with engine_for(f"postgresql://nobody@127.0.0.1:{free_port()}/none", application="test") as engine:
        return await error_of(engine, "SELECT 1")


async def silent_at_the_door(_: AsyncEngine) -> BaseException:
    with silent_server() as port, patience(0.2):
        async with engine_for(f"postgresql://nobody@127.0.0.1:{port}/none", application="test") as engine:
            return await error_of(engine, "SELECT 1")


async def silent_in_a_statement(engine: AsyncEngine) -> BaseException:
    with patience(0.2):
        return await error_of(engine, "SELECT pg_sleep(5)")


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("cause", "trouble"),
    [
        (in_each_others_way, Trouble.BUSY),
        (behind_a_lock, Trouble.BUSY),
        (changed_meanwhile, Trouble.BUSY),
        (out_of_time, Trouble.BUSY),
        (read_only, Trouble.READ_ONLY),
        (terminated, Trouble.STARTING),
        (not_there, Trouble.AWAY),
        (silent_at_the_door, Trouble.SILENT),
        (silent_in_a_statement, Trouble.SILENT),
    ],
)
async def test_each_trouble_is_repeated_and_named_in_the_log(
    engine: AsyncEngine, cause: Callable[[AsyncEngine], Awaitable[BaseException]], trouble: Trouble
) -> None:
    async with asyncio.timeout(5):
        error = await cause(engine)
    errors = [error]

    async def fail_once() -> str:
        if errors:
            raise errors.pop()
        return "done"

    async def at_once(_: float) -> None:
        return

    with capture_logs() as logs:
        assert await until_reachable(fail_once, what="test", sleep=at_once) == "done"
    assert [(each["event"], each["error"]) for each in logs] == [(trouble.value, first_line(error))]
    assert "\n" not in first_line(error)
    assert "[SQL" not in first_line(error)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("statement", ["INSERT INTO pair VALUES (1, 1)", "SELECT nonsense", "SELECT 1 / 0"])
async def test_a_wrong_statement_is_nobodys_absence(engine: AsyncEngine, statement: str) -> None:
    error = await error_of(engine, statement)
    assert find_trouble(error) is None
    assert not is_unreachable(error)


async def test_a_connection_given_up_is_not_used_again(engine: AsyncEngine) -> None:
    await silent_in_a_statement(engine)
    async with engine.connect() as conn:
        assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
