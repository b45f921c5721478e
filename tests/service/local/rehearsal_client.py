"""A rehearsal server inside the test process, and the providers' own SDKs talking to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import aiohttp
from aiohttp import web
from anthropic import AsyncAnthropic
from anthropic import DefaultAioHttpClient as AnthropicHttpClient
from openai import AsyncOpenAI
from openai import DefaultAioHttpClient as OpenAIHttpClient

from local.rehearsal.answerer import Answerers
from local.rehearsal.application import make_application
from local.rehearsal.config import RehearsalConfig
from local.rehearsal.judge import Judges
from local.rehearsal.pools import Pools

USER = (
    "Domain: coding\nTopic: data structures\nSubtopic: hash table collisions\nForm: short question\n"
    "Setting: a parcel service\nInclude: the name Amara\n"
    "Difficulty: easy\nLength: about 15 tokens each\nQuestions: 20\n"
)
SCHEMA = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
    "required": ["questions"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and one client of each kind."""

    url: str
    openai: AsyncOpenAI
    anthropic: AsyncAnthropic
    http: aiohttp.ClientSession
    since: int = 0

    async def reset(self) -> "Served":
        """The server as if it had just been started: making clients anew takes longer than most tests."""
        quota = {"requests_per_minute": 30_000, "tokens_per_minute": 60_000_000, "burst_seconds": 60, "headers": True}
        await self.post("/rehearsal/quotas", quota)
        await self.post("/rehearsal/latency", {"seconds": 0})
        await self.post("/rehearsal/faults", {"shares": "none", "next": [], "retry_after_seconds": 1})
        await self.post("/rehearsal/pools", asdict(Pools()))
        await self.post("/rehearsal/judges", asdict(Judges()))
        await self.post("/rehearsal/answers", asdict(Answerers()))
        none = {"error_share": 0, "expire_share": 0, "fail_next": 0, "lose_next": 0, "enqueued_tokens": 0}
        await self.post("/rehearsal/bulk", none | {"seconds": 0, "hold": False})
        return replace(self, since=(await self.get("/rehearsal/summary"))["requests"])

    async def get(self, path: str) -> dict[str, Any]:
        async with self.http.get(self.url + path) as response:
            found: dict[str, Any] = await response.json()
            return found

    async def post(self, path: str, content: object) -> tuple[int, dict[str, Any]]:
        async with self.http.post(self.url + path, json=content) as response:
            return response.status, await response.json()

    async def script(self, *faults: str, retry_after: int = 1) -> None:
        status, _ = await self.post("/rehearsal/faults", {"next": faults, "retry_after_seconds": retry_after})
        assert status == 200

    async def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(f"/rehearsal/record?since={self.since}"))["entries"]
        return found

    async def wait_for_entries(self) -> list[dict[str, Any]]:
        """The record, once it holds anything: the server notices a client's leaving by itself."""
        async with asyncio.timeout(10):
            while not (found := await self.entries()):  # noqa: ASYNC110 - the other side is a server
                await asyncio.sleep(0.02)
            return found

    def ask_openai(self, call_id: str = "call", **more: Any) -> Any:
        return self.openai.chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "system", "content": "You write questions."}, {"role": "user", "content": USER}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "questions", "strict": True, "schema": SCHEMA},
            },
            extra_headers={"X-Client-Request-Id": call_id},
            **{"max_completion_tokens": 2000} | more,
        )

    def ask_anthropic(self, call_id: str = "call", **more: Any) -> Any:
        return self.anthropic.messages.create(
            model="claude-haiku-5-5",
            system="You write questions.",
            messages=[{"role": "user", "content": USER}],
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
            extra_headers={"X-Client-Request-Id": call_id},
            **{"max_tokens": 2000} | more,
        )


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Served]:
    config = RehearsalConfig(**{"port": 0, "latency": 0} | settings)
    runner = web.AppRunner(make_application(config), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, config.host, config.port).start()
    host, port = runner.addresses[0][:2]
    url = f"http://{host}:{port}"
    try:
        async with (
            AsyncOpenAI(
                api_key="rehearsal", base_url=f"{url}/v1", max_retries=0, http_client=OpenAIHttpClient()
            ) as openai,
            AsyncAnthropic(
                api_key="rehearsal", base_url=url, max_retries=0, http_client=AnthropicHttpClient()
            ) as anthropic,
            aiohttp.ClientSession() as http,
        ):
            yield Served(url, openai, anthropic, http)
    finally:
        await runner.cleanup()
