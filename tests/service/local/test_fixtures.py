"""What the other service tests stand on."""

import redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


async def test_module_database_is_migrated_and_empty(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM question")) == 0


def test_module_redis_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
