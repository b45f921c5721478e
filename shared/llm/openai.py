"""OpenAI and all that speak its Chat Completions: vLLM, Ollama, LM Studio."""

import asyncio
from typing import Any

import httpx2
import orjson
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAioHttpClient

from shared.llm.failures import body_without_key, reply_from_broken_connection, reply_from_error, reply_from_reading
from shared.llm.headers import read_openai_rate
from shared.llm.provider import LLMReply, LLMRequest, Outcome
from shared.llm.reading import read_reply

CONNECT_SECONDS = 10.0
JSON = {"Content-Type": "application/json"}


def open_client(api_key: str, base_url: str | None) -> AsyncOpenAI:
    """A client that neither times nor retries anything: whole calls are timed by asyncio.timeout where they are made.

    The SDK must not retry, or attempts escape the ledger.
    """
    return AsyncOpenAI(
        api_key=api_key,
        base_url=base_url or "https://api.openai.com/v1",
        max_retries=0,
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        http_client=DefaultAioHttpClient(),
    )


def limit_name(base_url: str | None) -> str:
    """OpenAI's reasoning models refuse `max_tokens`; servers behind an own base_url often know only that."""
    return "max_tokens" if base_url else "max_completion_tokens"


def write_body(request: LLMRequest, limit_name: str) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "model": request.model,
        "messages": [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}],
        limit_name: request.max_output_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": request.schema_name, "strict": True, "schema": request.schema},
        },
    }


class OpenAIProvider:
    """Posts Chat Completions with a strict JSON schema.

    By the SDK's own `post`, with its connections, headers and errors: `create` would first walk the request along its
    types, a quarter of the CPU time of a call.
    """

    name = "openai"

    def __init__(self, api_key: str, base_url: str | None) -> None:
        self._client = open_client(api_key, base_url)
        self._url = f"{str(self._client.base_url).rstrip('/')}/chat/completions"
        self._limit_name = limit_name(base_url)

    async def complete(self, request: LLMRequest) -> LLMReply:
        """Send the request once."""
        body = write_body(request, self._limit_name)
        try:
            async with asyncio.timeout(request.timeout_seconds):
                answer = await self._client.post(
                    self._url,
                    cast_to=httpx2.Response,
                    content=orjson.dumps(body),
                    options={"headers": {**JSON, "X-Client-Request-Id": str(request.call_id)}},
                )
        except TimeoutError:
            return LLMReply(Outcome.TIMEOUT, detail=f"no answer in {request.timeout_seconds:g} s")
        except APIStatusError as error:
            told = error.response
            return reply_from_error(told.status_code, told.headers, body_without_key(told), read_openai_rate)
        except (APIConnectionError, httpx2.HTTPError) as error:
            return reply_from_broken_connection(error)
        content = body_without_key(answer)
        reading = read_reply(self.name, content)
        return reply_from_reading(answer.status_code, answer.headers, content, reading, read_openai_rate)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()
