"""Anthropic's Messages."""

import asyncio

import httpx2
from anthropic import APIConnectionError, APIStatusError, AsyncAnthropic, DefaultAioHttpClient

from shared.llm.failures import reply_from_broken_connection, reply_from_error, reply_from_reading
from shared.llm.headers import read_anthropic_rate
from shared.llm.provider import LLMReply, LLMRequest, Outcome
from shared.llm.reading import read_reply

CONNECT_SECONDS = 10.0


class AnthropicProvider:
    """Calls `messages.create` with a JSON schema as output format."""

    name = "anthropic"

    def __init__(self, api_key: str, base_url: str | None) -> None:
        # The whole call is timed by asyncio.timeout below; the SDK must not retry, or attempts escape the ledger.
        self._client = AsyncAnthropic(
            api_key=api_key,
            base_url=base_url or "https://api.anthropic.com",
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            http_client=DefaultAioHttpClient(),
        )
        self._create = self._client.messages.with_raw_response.create

    async def complete(self, request: LLMRequest) -> LLMReply:
        """Send the request once."""
        try:
            async with asyncio.timeout(request.timeout_seconds):
                answer = await self._create(
                    model=request.model,
                    max_tokens=request.max_output_tokens,
                    system=request.system,
                    messages=[{"role": "user", "content": request.user}],
                    extra_headers={"X-Client-Request-Id": str(request.call_id)},
                    # Merged as it is: the SDK would walk the schema against its types on every call.
                    extra_body={"output_config": {"format": {"type": "json_schema", "schema": request.schema}}},
                )
        except TimeoutError:
            return LLMReply(Outcome.TIMEOUT, detail=f"no answer in {request.timeout_seconds:g} s")
        except APIStatusError as error:
            response = error.response
            return reply_from_error(response.status_code, response.headers, response.content, read_anthropic_rate)
        except (APIConnectionError, httpx2.HTTPError) as error:
            return reply_from_broken_connection(error)
        content = answer.http_response.content
        reading = read_reply(self.name, content)
        return reply_from_reading(answer.status_code, answer.headers, content, reading, read_anthropic_rate)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()
