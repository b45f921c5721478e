"""A model server that says what a test tells it to, on loopback, in both wire formats."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from aiohttp import web


@dataclass
class Answer:
    """One scripted answer. `reset_after` bytes of the body the connection is cut; 0: before any answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    reset_after: int | None = None
    wait_for: asyncio.Event | None = None


@dataclass
class Request:
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    at: float


class ScriptedServer:
    """Answers in the order of `answers`; when they run out, with `default`."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.default = Answer(body=openai_body('{"questions": ["What is 1 + 1?"]}'))
        self.requests: list[Request] = []
        self.arrived = asyncio.Event()
        self.url = ""

    async def reached(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        while len(self.requests) < count:
            self.arrived.clear()
            await self.arrived.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        body = orjson.loads(content) if request.content_type == "application/json" and content else {}
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Request(request.path, headers, body, asyncio.get_running_loop().time()))
        self.arrived.set()
        answer = self.answers.popleft() if self.answers else self.default
        if answer.wait_for is not None:
            await answer.wait_for.wait()
        await asyncio.sleep(answer.delay_seconds)
        if answer.reset_after is None:
            typed = {"content-type": "application/json", **answer.headers}
            return web.Response(status=answer.status, body=answer.body, headers=typed)
        transport = cast("asyncio.Transport", request.transport)
        if answer.reset_after:
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer.body)}\r\n\r\n"
            transport.write(head.encode() + answer.body[: answer.reset_after])
            await asyncio.sleep(0.02)
        transport.abort()
        return web.Response()


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def openai_body(
    text: str | None, *, finish: str = "stop", usage: Mapping[str, Any] | None = None, refusal: str | None = None
) -> bytes:
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-6-luna",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    "message": {"role": "assistant", "content": text, "refusal": refusal},
                }
            ],
            "usage": usage or {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }
    )


def anthropic_body(text: str, *, stop: str = "end_turn", usage: Mapping[str, Any] | None = None) -> bytes:
    return orjson.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-5-5",
            "content": [{"type": "text", "text": text}] if text else [],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage or {"input_tokens": 100, "output_tokens": 50},
        }
    )


def openai_error(code: str | None, message: str = "no", kind: str = "requests") -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic_error(kind: str, message: str = "no") -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_9"})
