"""The embedded servers by themselves."""

import psycopg
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


async def test_module_database_is_migrated(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM question")) == 0


def test_module_redis_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_postgres_refuses_a_wrong_password(database_url: str) -> None:
    user, _, rest = database_url.partition("@")
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(f"{user}x@{rest}")


def test_valkey_refuses_clients_without_the_password(redis_url: str) -> None:
    with (
        redis.Redis.from_url(redis_url.replace(redis_url[8 : redis_url.index("@") + 1], "")) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
