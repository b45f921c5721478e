"""`./run keys`: who may use the API. On the database itself: the first key must be there before anybody can sign in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from psycopg.errors import UndefinedTable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from local.pg_client import open_database
from local.process import LocalProblem
from shared.access.keys import Listed, create_key, find_listed, list_keys, revoke_key
from shared.access.quotas import Quotas, Usage
from shared.access.scopes import Scope
from shared.database.engine import engine_for
from shared.database.trouble import first_line
from shared.errors import Conflict, NotFound
from shared.settings import Settings

PURPOSE = "./run keys"
OLD_SCHEMA = "The database has no table of keys yet: start ./run up once, or ./run db upgrade."
HEADINGS = ("id", "name", "scope", "made", "last used", "limits")

T = TypeVar("T")
Say = Callable[[str], None]


def create(
    settings: Settings, name: str, scope: Scope, *, requests_per_minute: int | None, quotas: Quotas, say: Say
) -> None:
    """Make a key and show it, this once. Raises LocalProblem, also when there is a key of this name."""

    async def make(engine: AsyncEngine) -> str:
        return await create_key(engine, name, scope, requests_per_minute=requests_per_minute, quotas=quotas)

    key = _with_database(settings, make)
    say(f"The key {name} of the scope {scope}; it is shown this once and stored nowhere but as a hash:")
    say(f"\n  {key}\n")
    say("Sign in with it on the dashboard, or give it to the command line: export QUESTMILL_API_KEY=qm_...")


def show(settings: Settings, say: Say) -> None:
    """All keys, when they were last used, and how far their quotas are. Raises LocalProblem."""
    keys = _with_database(settings, list_keys)
    if not keys:
        say("There is no key. Make one with ./run keys create NAME --scope read, submit or admin.")
        return
    rows = [HEADINGS, *(_row(key) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def revoke(settings: Settings, wanted: str, ask: Callable[[str], bool], say: Say) -> bool:
    """Let nobody in with it any more; False when `ask` says no. Raises LocalProblem for one that is not there."""
    key = _with_database(settings, lambda engine: find_listed(engine, wanted))
    used = f"last used {_when(key.last_used_at)}" if key.last_used_at else "never used"
    if not ask(
        f"This revokes the key {key.name} of the scope {key.scope}, {used}. Whoever has it is locked out for good."
    ):
        return False
    _with_database(settings, lambda engine: revoke_key(engine, key.id))
    say(f"The key {key.name} is revoked. Jobs that it posted go on.")
    return True


def _with_database(settings: Settings, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def run(url: str) -> T:
        async with engine_for(url, application="questmill-keys", pool_size=1) as engine:
            return await work(engine)

    try:
        with open_database(settings, PURPOSE, make=True) as url:
            return asyncio.run(run(url))
    except (Conflict, NotFound) as problem:
        raise LocalProblem(problem.detail) from None
    except DBAPIError as error:
        if isinstance(error.orig, UndefinedTable):
            raise LocalProblem(OLD_SCHEMA) from None
        raise LocalProblem(f"The database cannot be reached: {first_line(error).rstrip('.')}.") from None


def _row(key: Listed) -> tuple[str, ...]:
    last = f"revoked {_when(key.revoked_at)}" if key.revoked_at else _when(key.last_used_at)
    limits = ", ".join(_limits(key)) or "none"
    return str(key.id), key.name, key.scope, _when(key.created_at), last, limits


def _limits(key: Listed) -> Iterator[str]:
    if key.requests_per_minute is not None:
        yield f"{key.requests_per_minute:,} requests a minute"
    used = key.used or Usage()
    if key.quotas.open_jobs is not None:
        yield f"{used.open_jobs:,} of {key.quotas.open_jobs:,} open jobs"
    if key.quotas.questions is not None:
        yield f"{used.questions:,} of {key.quotas.questions:,} questions"
    if key.quotas.usd is not None:
        yield f"${_cents(used.usd)} of ${_cents(key.quotas.usd)}"


def _cents(usd: Decimal) -> str:
    return f"{usd:,.2f}"


def _when(moment: datetime | None) -> str:
    return "never" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
