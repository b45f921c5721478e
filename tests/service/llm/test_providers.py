from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from shared.ids import new_call_id
from shared.llm.anthropic import AnthropicProvider
from shared.llm.openai import OpenAIProvider
from shared.llm.provider import LLMReply, LLMRequest, Outcome, Provider, RateHeaders, Usage
from shared.llm.providers import open_providers
from shared.settings import Settings
from tests.service.llm.scripted_server import (
    Answer,
    ScriptedServer,
    anthropic_body,
    anthropic_error,
    openai_body,
    openai_error,
    scripted_server,
)

SCHEMA = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
    "required": ["questions"],
    "additionalProperties": False,
}
MARKED = "sk-marked-0123456789"
TEXT = '{"questions": ["What is 2 + 2?"]}'


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as started:
        yield started


@pytest.fixture
async def openai(server: ScriptedServer) -> AsyncIterator[Provider]:
    provider = OpenAIProvider("sk-test", f"{server.url}/v1")
    yield provider
    await provider.close()


@pytest.fixture
async def anthropic(server: ScriptedServer) -> AsyncIterator[Provider]:
    provider = AnthropicProvider("sk-ant-test", server.url)
    yield provider
    await provider.close()


def request(timeout_seconds: float = 5.0) -> LLMRequest:
    return LLMRequest(new_call_id(), "some-model", "be brief", "ask", SCHEMA, "questions", 700, timeout_seconds)


async def answered(server: ScriptedServer, provider: Provider, answer: Answer) -> LLMReply:
    server.answers.append(answer)
    return await provider.complete(request())


@pytest.mark.parametrize("status", [200, 401, 500])
async def test_a_key_that_the_server_repeats_is_not_kept(server: ScriptedServer, status: int) -> None:
    for provider in (OpenAIProvider(MARKED, f"{server.url}/v1"), AnthropicProvider(MARKED, server.url)):
        told = f'{{"error": {{"message": "Incorrect API key provided: {MARKED}."}}}}'
        reply = await answered(server, provider, Answer(status, told.encode()))
        await provider.close()
        assert MARKED not in repr(reply)
        assert "Incorrect API key provided: [key]." in (reply.raw or "")


async def test_openai_is_asked_for_a_strict_schema_with_the_call_id(server: ScriptedServer, openai: Provider) -> None:
    sent = request()
    reply = await openai.complete(sent)
    seen = server.requests[0]
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["x-client-request-id"] == str(sent.call_id)
    assert seen.headers["authorization"] == "Bearer sk-test"
    assert seen.body == {
        "model": "some-model",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "ask"}],
        "max_tokens": 700,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "questions", "strict": True, "schema": SCHEMA},
        },
    }
    assert reply.outcome is Outcome.OK


async def test_anthropic_is_asked_for_a_schema_with_the_call_id(server: ScriptedServer, anthropic: Provider) -> None:
    sent = request()
    server.answers.append(Answer(body=anthropic_body(TEXT)))
    reply = await anthropic.complete(sent)
    seen = server.requests[0]
    assert seen.path == "/v1/messages"
    assert seen.headers["x-client-request-id"] == str(sent.call_id)
    assert seen.headers["authorization"] == "Bearer sk-ant-test"
    assert seen.body == {
        "model": "some-model",
        "max_tokens": 700,
        "system": "be brief",
        "messages": [{"role": "user", "content": "ask"}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }
    assert (reply.outcome, reply.text) == (Outcome.OK, TEXT)


async def test_openai_reply_keeps_body_usage_and_limits(server: ScriptedServer, openai: Provider) -> None:
    usage = {
        "prompt_tokens": 120,
        "completion_tokens": 90,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    body = openai_body(TEXT, usage=usage)
    headers = {
        "x-request-id": "req_1",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "29000",
    }
    reply = await answered(server, openai, Answer(body=body, headers=headers))
    assert reply == LLMReply(
        outcome=Outcome.OK,
        text=TEXT,
        raw=body.decode(),
        usage=Usage(120, 90, cached_tokens=20, cache_write_tokens=64, reasoning_tokens=30),
        finish_reason="stop",
        http_status=200,
        request_id="req_1",
        rate=RateHeaders(500, 30000, 499, 29000),
    )


async def test_anthropic_reply_keeps_body_usage_and_limits(server: ScriptedServer, anthropic: Provider) -> None:
    usage = {
        "input_tokens": 100,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 30,
        "output_tokens": 90,
        "output_tokens_details": {"thinking_tokens": 40},
    }
    headers = {
        "request-id": "req_2",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "7000",
    }
    reply = await answered(server, anthropic, Answer(body=anthropic_body(TEXT, usage=usage), headers=headers))
    assert reply.usage == Usage(150, 90, cached_tokens=20, cache_write_tokens=30, reasoning_tokens=40)
    assert reply.rate == RateHeaders(50, 8000, 49, 7000)
    assert reply.request_id == "req_2"


@pytest.mark.parametrize(
    ("answer", "outcome", "paid"),
    [
        (Answer(body=openai_body('{"questions": ["a', finish="length")), Outcome.CUT, True),
        (Answer(body=openai_body("", finish="length")), Outcome.NO_ROOM, True),
        (Answer(body=openai_body("")), Outcome.EMPTY, True),
        (Answer(body=openai_body(None, refusal="I will not")), Outcome.REFUSED, True),
        (Answer(body=openai_body("half", finish="content_filter")), Outcome.REFUSED, True),
        (Answer(body=b"<html>hello</html>"), Outcome.MALFORMED, False),
        (Answer(body=b'{"hello": 1}'), Outcome.MALFORMED, False),
        (Answer(429, openai_error("rate_limit_exceeded")), Outcome.RATE_LIMITED, False),
        (Answer(429, openai_error("insufficient_quota", kind="insufficient_quota")), Outcome.QUOTA, False),
        (Answer(429, openai_error(None, kind="insufficient_quota")), Outcome.QUOTA, False),
        (Answer(429, openai_error("rate_limit_exceeded", "Request too large for x")), Outcome.BAD_REQUEST, False),
        (Answer(400, openai_error("context_length_exceeded")), Outcome.BAD_REQUEST, False),
        (Answer(401, openai_error("invalid_api_key")), Outcome.UNAUTHORISED, False),
        (Answer(404, openai_error("model_not_found")), Outcome.UNKNOWN_MODEL, False),
        (Answer(500, b"oops"), Outcome.SERVER_ERROR, False),
        (Answer(502, b"<html>"), Outcome.SERVER_ERROR, False),
        (Answer(503, b""), Outcome.OVERLOADED, False),
    ],
)
async def test_openai_outcomes(
    server: ScriptedServer, openai: Provider, answer: Answer, outcome: Outcome, paid: bool
) -> None:
    reply = await answered(server, openai, answer)
    assert reply.outcome is outcome
    assert reply.http_status == answer.status
    assert reply.raw == answer.body.decode()
    assert (reply.usage is not None) == paid
    assert len(server.requests) == 1  # the SDK itself retries nothing


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(body=anthropic_body("half", stop="max_tokens")), Outcome.CUT),
        (Answer(body=anthropic_body("no", stop="refusal")), Outcome.REFUSED),
        (Answer(body=anthropic_body("")), Outcome.EMPTY),
        (Answer(body=b"[]"), Outcome.MALFORMED),
        (Answer(429, anthropic_error("rate_limit_error")), Outcome.RATE_LIMITED),
        (Answer(529, anthropic_error("overloaded_error")), Outcome.OVERLOADED),
        (Answer(400, anthropic_error("invalid_request_error")), Outcome.BAD_REQUEST),
        (
            Answer(400, anthropic_error("invalid_request_error", "Your credit balance is too low to access")),
            Outcome.QUOTA,
        ),
        (Answer(402, anthropic_error("billing_error")), Outcome.QUOTA),
        (Answer(403, anthropic_error("permission_error")), Outcome.UNAUTHORISED),
        (Answer(500, anthropic_error("api_error")), Outcome.SERVER_ERROR),
    ],
)
async def test_anthropic_outcomes(
    server: ScriptedServer, anthropic: Provider, answer: Answer, outcome: Outcome
) -> None:
    reply = await answered(server, anthropic, answer)
    assert reply.outcome is outcome
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_retry_after_is_told(server: ScriptedServer, name: str) -> None:
    provider = _make(name, server.url)
    reply = await answered(server, provider, Answer(429, openai_error(None), {"retry-after": "7"}))
    await provider.close()
    assert reply.retry_after_seconds == 7.0


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_slow_answer_is_a_timeout(server: ScriptedServer, name: str) -> None:
    provider = _make(name, server.url)
    server.answers.append(Answer(body=openai_body(TEXT), delay_seconds=5))
    reply = await provider.complete(request(timeout_seconds=0.1))
    await provider.close()
    assert reply.outcome is Outcome.TIMEOUT


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("bytes_sent", [0, 30])
async def test_broken_connection_after_sending_may_have_been_paid(
    server: ScriptedServer, name: str, bytes_sent: int
) -> None:
    provider = _make(name, server.url)
    reply = await answered(server, provider, Answer(body=openai_body(TEXT), reset_after=bytes_sent))
    await provider.close()
    assert reply.outcome is Outcome.CONNECTION
    assert reply.outcome.maybe_paid


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_connection_never_made_is_free(name: str, unused_tcp_port: int) -> None:
    provider = _make(name, f"http://127.0.0.1:{unused_tcp_port}")
    reply = await provider.complete(request())
    await provider.close()
    assert reply.outcome is Outcome.UNREACHABLE
    assert not reply.outcome.maybe_paid


async def test_only_providers_with_a_key_are_opened() -> None:
    keys = {"openai_api_key": None, "anthropic_api_key": SecretStr("k")}
    opened = open_providers(Settings().model_copy(update=keys))
    assert list(opened) == ["anthropic"]
    for provider in opened.values():
        await provider.close()


def _make(name: str, url: str) -> Provider:
    return OpenAIProvider("sk", f"{url}/v1") if name == "openai" else AnthropicProvider("sk", url)
