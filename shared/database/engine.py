"""How every process reaches Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from select import POLLIN, poll
from typing import Any

import psycopg
from psycopg.pq.abc import PGconn
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.database.patience import connect_patiently
from shared.server_urls import POSTGRES

# What waits longer for a free connection is told that the database is busy, and tries again.
POOL_SECONDS = 10
# A host that vanished without a word is noticed after some 20 s, not after the system's two hours.
KEEP_ALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}
# For workers and reconcilers, whose transactions take milliseconds: one that was stopped in the middle of one must not
# keep its batches and its dataset locked for much longer than a lease (FAULTS 5).
STALLED_SECONDS = 10
SERVER_LIMITS = {
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    # A statement whose client has given up and gone ends too.
    "client_connection_check_interval": "5s",
    # Our statements take milliseconds; compiling one may take hundreds, where the server can.
    "jit": "off",
}


def sqlalchemy_url(database_url: str) -> str:
    """`postgres://` and `postgresql://` URLs as people write them, with the psycopg driver named."""
    return f"postgresql+psycopg://{_without_scheme(database_url)}"


def libpq_url(database_url: str) -> str:
    """The same for psycopg itself, which knows no driver in a URL."""
    return f"postgresql://{_without_scheme(database_url)}"


def _without_scheme(database_url: str) -> str:
    scheme, _, rest = database_url.partition("://")
    if scheme not in POSTGRES:
        raise ValueError("the database's URL must begin with postgresql://")
    return rest


def open_engine(
    database_url: str,
    *,
    application: str,
    pool_size: int = 10,
    idle_in_transaction_seconds: int = 60,
    pooled: bool = False,
) -> AsyncEngine:
    """An async engine. `application` is what pg_stat_activity shows; `pool_size` bounds its connections.

    A statement may take 60 s and a lock 20 s, so that nothing hangs unseen on a stuck peer. A process that stops inside
    a transaction keeps what it has locked for `idle_in_transaction_seconds`. How long a silent server is waited for is
    shared.database.patience's business.

    `pooled`: behind a pooler in transaction mode each transaction may meet another session. Nothing is prepared then,
    and the pooler sets the limits, since it lets no client do so (docs/deployment.md).
    """
    limits = SERVER_LIMITS | {"idle_in_transaction_session_timeout": f"{idle_in_transaction_seconds}s"}
    session: dict[str, Any] = (
        {"prepare_threshold": None}
        if pooled
        else {"options": " ".join(f"-c {name}={value}" for name, value in limits.items())}
    )
    engine = create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=False,
        connect_args={
            "async_creator_fn": connect_patiently,
            "application_name": application,
            "connect_timeout": 5,
            **session,
            **KEEP_ALIVE,
        },
    )
    event.listen(engine.sync_engine, "checkout", _discard_if_closed)
    return engine


def _discard_if_closed(connection: DBAPIConnection, *_: object) -> None:
    """Do not try a connection that the server has closed meanwhile; costs no round trip, unlike a ping.

    After a restart of Postgres (FAULTS 2) the first transaction would fail otherwise.
    """
    pgconn: PGconn = connection.driver_connection.pgconn
    watched = poll()
    watched.register(pgconn.socket, POLLIN)
    while watched.poll(0):
        # Its end, its last words before that, or a harmless notice: only at the end does this raise.
        try:
            pgconn.consume_input()
        except psycopg.OperationalError as error:
            raise InvalidatePoolError("the server has closed the connection") from error


@asynccontextmanager
async def engine_for(
    database_url: str,
    *,
    application: str,
    pool_size: int = 10,
    idle_in_transaction_seconds: int = 60,
    pooled: bool = False,
) -> AsyncIterator[AsyncEngine]:
    """An engine that is closed at the end of the block; the arguments are those of `open_engine`."""
    engine = open_engine(
        database_url,
        application=application,
        pool_size=pool_size,
        idle_in_transaction_seconds=idle_in_transaction_seconds,
        pooled=pooled,
    )
    try:
        yield engine
    finally:
        await engine.dispose()
