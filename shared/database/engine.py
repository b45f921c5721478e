"""How every process reaches Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def sqlalchemy_url(database_url: str) -> str:
    """`postgres://` and `postgresql://` URLs as people write them, with the psycopg driver named."""
    return f"postgresql+psycopg://{_without_scheme(database_url)}"


def libpq_url(database_url: str) -> str:
    """The same for psycopg itself, which knows no driver in a URL."""
    return f"postgresql://{_without_scheme(database_url)}"


def _without_scheme(database_url: str) -> str:
    scheme, _, rest = database_url.partition("://")
    if scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError(f"DATABASE_URL must start with postgresql://, not {scheme}://")
    return rest


def open_engine(database_url: str, *, application: str, pool_size: int = 10) -> AsyncEngine:
    """An async engine. `application` is what pg_stat_activity shows; `pool_size` bounds its connections.

    A statement may take 60 s and a lock 20 s, so that nothing hangs unseen on a stuck peer.
    """
    options = "-c statement_timeout=60000 -c lock_timeout=20000 -c idle_in_transaction_session_timeout=60000"
    return create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=False,
        connect_args={"application_name": application, "connect_timeout": 5, "options": options},
    )


@asynccontextmanager
async def engine_for(database_url: str, *, application: str, pool_size: int = 10) -> AsyncIterator[AsyncEngine]:
    """An engine that is closed at the end of the block."""
    engine = open_engine(database_url, application=application, pool_size=pool_size)
    try:
        yield engine
    finally:
        await engine.dispose()
