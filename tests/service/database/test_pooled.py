"""What an engine leaves in its session, which a pooler in transaction mode would hand to somebody else."""

import pytest
from sqlalchemy import text

from shared.database.engine import engine_for

OFTEN = 8
LEFT = text("SELECT (SELECT count(*) FROM pg_prepared_statements), current_setting('lock_timeout')")


@pytest.mark.parametrize("pooled", [True, False])
async def test_behind_a_pooler_nothing_is_prepared_and_nothing_set(database_url: str, pooled: bool) -> None:
    async with engine_for(database_url, application="a test", pool_size=1, pooled=pooled) as engine:
        for _ in range(OFTEN):
            async with engine.begin() as conn:
                await conn.execute(text("SELECT count(*) FROM job WHERE seed = :seed"), {"seed": 1})
        async with engine.begin() as conn:
            prepared, lock_timeout = (await conn.execute(LEFT)).one()
    assert (prepared == 0) is pooled
    assert lock_timeout == ("0" if pooled else "20s")
