"""The dataset of a name."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFound
from shared.ids import DatasetId

FIND = text("SELECT id FROM dataset WHERE name = :name")


async def find_dataset(conn: AsyncConnection, name: str) -> DatasetId:
    """Its id. Raises NotFound."""
    dataset_id = (await conn.execute(FIND, {"name": name})).scalar_one_or_none()
    if dataset_id is None:
        raise NotFound(f"there is no dataset {name}")
    return DatasetId(dataset_id)
