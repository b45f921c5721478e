import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from api import answers
from api.answers import started


class Source:
    """Chunks without end, and whether they were closed; the test holds on to them, as a reference cycle would."""

    def __init__(self) -> None:
        self.closed = False
        self.chunks = self._make()

    async def _make(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"chunk"
        finally:
            await asyncio.sleep(0)  # closing a transaction waits for the server
            self.closed = True


async def test_a_client_that_goes_away_in_the_middle_closes_the_source() -> None:
    source, sent = Source(), asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.set()
            await asyncio.Event().wait()  # the client reads no more

    async def receive() -> dict[str, str]:
        await sent.wait()
        return {"type": "http.disconnect"}

    answer = await started(source.chunks, media_type="text/plain", filename="x")
    await answer({"type": "http"}, receive, send)
    assert source.closed


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_reader_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch, spec_version: str) -> None:
    monkeypatch.setattr(answers, "SEND_SECONDS", 0.01)
    source = Source()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError

    answer = await started(source.chunks, media_type="text/plain", filename="x")
    await answer({"type": "http", "path": "/export", "asgi": {"spec_version": spec_version}}, receive, send)
    assert source.closed


async def test_a_client_that_is_gone_before_the_first_chunk_closes_the_source() -> None:
    source = Source()

    async def send(message: Any) -> None:
        raise OSError("gone")

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError

    answer = await started(source.chunks, media_type="text/plain", filename="x")
    with pytest.raises(ClientDisconnect):
        await answer({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert source.closed


async def test_a_server_that_stops_closes_the_source() -> None:
    source, sent = Source(), asyncio.Event()

    async def send(message: Any) -> None:
        sent.set()
        await asyncio.Event().wait()

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError

    answer = await started(source.chunks, media_type="text/plain", filename="x")
    serving = asyncio.ensure_future(answer({"type": "http"}, receive, send))
    await sent.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert source.closed
