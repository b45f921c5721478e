"""Who reads a whole dataset slowly keeps no connection from others."""

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.testclient import TestClient

from api.app import create_app
from api.services import Wired, WiredForBulk
from shared.settings import Settings


def test_routes_for_whole_datasets_have_connections_of_their_own() -> None:
    app, used = FastAPI(), list[AsyncEngine]()
    app.state.services = services = create_app(Settings()).state.services

    @app.get("/ordinary")
    async def use(wired: Wired) -> None:
        used.append(wired.engine)

    @app.get("/bulk")
    async def use_for_bulk(wired: WiredForBulk) -> None:
        used.append(wired.engine)

    client = TestClient(app)
    for path in ("/ordinary", "/bulk"):
        assert client.get(path).status_code == 200
    assert used == [services.engine, services.bulk_engine]
    assert services.engine.pool is not services.bulk_engine.pool
