"""Anthropic's Messages."""

import asyncio
from typing import Any

import httpx2
import orjson
from anthropic import APIConnectionError, APIStatusError, AsyncAnthropic, DefaultAioHttpClient

from shared.llm.failures import body_without_key, reply_from_broken_connection, reply_from_error, reply_from_reading
from shared.llm.headers import read_anthropic_rate
from shared.llm.provider import LLMReply, LLMRequest, Outcome
from shared.llm.reading import read_reply

CONNECT_SECONDS = 10.0
JSON = {"Content-Type": "application/json"}


def open_client(api_key: str, base_url: str | None) -> AsyncAnthropic:
    """A client that neither times nor retries anything; see shared.llm.openai."""
    return AsyncAnthropic(
        api_key=api_key,
        base_url=base_url or "https://api.anthropic.com",
        max_retries=0,
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        http_client=DefaultAioHttpClient(),
    )


def write_body(request: LLMRequest) -> dict[str, Any]:
    """The body of a message."""
    return {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "system": request.system,
        "messages": [{"role": "user", "content": request.user}],
        "output_config": {"format": {"type": "json_schema", "schema": request.schema}},
    }


class AnthropicProvider:
    """Posts Messages with a JSON schema as output format, by the SDK's own `post`; see OpenAIProvider."""

    name = "anthropic"

    def __init__(self, api_key: str, base_url: str | None) -> None:
        self._client = open_client(api_key, base_url)
        self._url = f"{str(self._client.base_url).rstrip('/')}/v1/messages"

    async def complete(self, request: LLMRequest) -> LLMReply:
        """Send the request once."""
        try:
            async with asyncio.timeout(request.timeout_seconds):
                answer = await self._client.post(
                    self._url,
                    cast_to=httpx2.Response,
                    content=orjson.dumps(write_body(request)),
                    options={"headers": {**JSON, "X-Client-Request-Id": str(request.call_id)}},
                )
        except TimeoutError:
            return LLMReply(Outcome.TIMEOUT, detail=f"no answer in {request.timeout_seconds:g} s")
        except APIStatusError as error:
            told = error.response
            return reply_from_error(told.status_code, told.headers, body_without_key(told), read_anthropic_rate)
        except (APIConnectionError, httpx2.HTTPError) as error:
            return reply_from_broken_connection(error)
        content = body_without_key(answer)
        reading = read_reply(self.name, content)
        return reply_from_reading(answer.status_code, answer.headers, content, reading, read_anthropic_rate)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()
