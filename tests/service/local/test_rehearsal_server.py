import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from math import ceil
from pathlib import Path

import anthropic
import openai
import pytest

from shared.questions.parsing import parse_questions
from shared.questions.tokens import count_tokens
from tests.service.local.rehearsal_client import Served, serving


@pytest.fixture(scope="module")
async def shared_server() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture
async def server(shared_server: Served) -> Served:
    return await shared_server.reset()


async def test_openai_round_trip(server: Served) -> None:
    raw = await server.openai.chat.completions.with_raw_response.create(
        model="gpt-6-luna", messages=[{"role": "user", "content": "Topic: tides\nQuestions: 3\n"}]
    )
    assert raw.headers["x-questmill-rehearsal"] == "1"
    assert raw.headers["x-request-id"]
    assert raw.headers["x-ratelimit-limit-requests"] == "30000"
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) <= 60_000_000
    assert raw.headers["x-ratelimit-reset-requests"].endswith("s")

    reply = await server.ask_openai()
    choice = reply.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.refusal is None
    assert len(json.loads(choice.message.content)["questions"]) == 20
    assert reply.model == "gpt-6-luna"
    assert reply.usage.completion_tokens == count_tokens(choice.message.content)
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.prompt_tokens_details.cached_tokens == 0
    assert reply.usage.completion_tokens_details.reasoning_tokens == 0


async def test_anthropic_round_trip(server: Served) -> None:
    raw = await server.anthropic.messages.with_raw_response.create(
        model="claude-haiku-5-5", max_tokens=900, messages=[{"role": "user", "content": "Topic: tides\nQuestions: 3\n"}]
    )
    assert raw.headers["x-questmill-rehearsal"] == "1"
    assert raw.headers["request-id"]
    for kind in ("requests", "input-tokens", "output-tokens"):
        for field in ("limit", "remaining", "reset"):
            assert raw.headers[f"anthropic-ratelimit-{kind}-{field}"]

    reply = await server.ask_anthropic()
    assert reply.stop_reason == "end_turn"
    assert len(json.loads(reply.content[0].text)["questions"]) == 20
    assert reply.usage.output_tokens == count_tokens(reply.content[0].text)
    assert reply.usage.input_tokens > 40
    assert reply.usage.cache_read_input_tokens == 0


async def test_both_sdks_list_the_models(server: Served) -> None:
    assert "gpt-6-luna" in [model.id async for model in server.openai.models.list()]
    assert "claude-haiku-5-5" in [model.id async for model in server.anthropic.models.list()]


async def test_reasoning_effort_is_billed_as_output(server: Served) -> None:
    usage = (await server.ask_openai(reasoning_effort="medium")).usage
    assert usage.completion_tokens_details.reasoning_tokens > 0
    assert usage.completion_tokens > usage.completion_tokens_details.reasoning_tokens


OPENAI_ERRORS = {
    "429": (openai.RateLimitError, 429, "rate_limit_exceeded"),
    "quota": (openai.RateLimitError, 429, "insufficient_quota"),
    "500": (openai.InternalServerError, 500, None),
    "529": (openai.InternalServerError, 503, None),
}
ANTHROPIC_ERRORS = {
    "429": (anthropic.RateLimitError, 429, "rate_limit_error"),
    "quota": (anthropic.PaymentRequiredError, 402, "billing_error"),
    "500": (anthropic.InternalServerError, 500, "api_error"),
    "529": (anthropic.InternalServerError, 529, "overloaded_error"),
}


@pytest.mark.parametrize("fault", OPENAI_ERRORS)
async def test_openai_errors(server: Served, fault: str) -> None:
    error_class, status, code = OPENAI_ERRORS[fault]
    await server.script(fault, retry_after=7)
    with pytest.raises(error_class) as caught:
        await server.ask_openai()
    assert caught.value.status_code == status
    assert caught.value.code == code
    assert caught.value.response.headers.get("retry-after") == ("7" if fault == "429" else None)
    assert (await server.entries())[-1]["billed"] is False


@pytest.mark.parametrize("fault", ANTHROPIC_ERRORS)
async def test_anthropic_errors(server: Served, fault: str) -> None:
    error_class, status, kind = ANTHROPIC_ERRORS[fault]
    await server.script(fault, retry_after=7)
    with pytest.raises(error_class) as caught:
        await server.ask_anthropic()
    assert caught.value.status_code == status
    assert caught.value.type == kind
    assert caught.value.response.headers.get("retry-after") == ("7" if fault == "429" else None)
    assert caught.value.request_id


async def test_cut_answers(server: Served) -> None:
    await server.script("cut", "cut")
    reply = await server.ask_openai()
    assert reply.choices[0].finish_reason == "length"
    assert 0 < len(parse_questions(reply.choices[0].message.content, cut=True).questions) < 20
    message = await server.ask_anthropic()
    assert message.stop_reason == "max_tokens"
    assert 0 < len(parse_questions(message.content[0].text, cut=True).questions) < 20


async def test_token_limit_of_the_request_is_kept(server: Served) -> None:
    reply = await server.ask_openai(max_completion_tokens=60)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 60
    message = await server.ask_anthropic(max_tokens=60)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 60


async def test_refusals(server: Served) -> None:
    await server.script("refusal", "filter", "refusal")
    refused = (await server.ask_openai()).choices[0]
    assert refused.message.content is None
    assert refused.message.refusal
    assert (await server.ask_openai()).choices[0].finish_reason == "content_filter"
    message = await server.ask_anthropic()
    assert message.stop_reason == "refusal"
    assert message.content == []


async def test_broken_json_and_latex(server: Served) -> None:
    await server.script("broken", "latex")
    broken = (await server.ask_openai()).choices[0].message.content
    with pytest.raises(ValueError, match=r"."):
        json.loads(broken)
    assert len(parse_questions(broken).questions) == 20
    latex = (await server.ask_anthropic()).content[0].text
    assert "$" in latex
    assert "\\\\" not in latex


async def test_reset_in_the_middle_of_the_body_is_a_connection_error_yet_billed(server: Served) -> None:
    await server.script("reset", "reset")
    with pytest.raises(openai.APIConnectionError):
        await server.ask_openai()
    with pytest.raises(anthropic.APIConnectionError):
        await server.ask_anthropic()
    for entry in await server.entries():
        assert entry["outcome"] == "reset"
        assert entry["billed"] is True
        assert entry["delivered"] is False


async def test_empty_body(server: Served) -> None:
    await server.script("empty", "empty")
    raw = await server.openai.chat.completions.with_raw_response.create(
        model="gpt-6-luna", messages=[{"role": "user", "content": "Topic: tides\n"}]
    )
    assert raw.http_response.content == b""
    raw_message = await server.anthropic.messages.with_raw_response.create(
        model="claude-haiku-5-5", max_tokens=9, messages=[{"role": "user", "content": "Topic: tides\n"}]
    )
    assert raw_message.http_response.content == b""


async def test_hanging_request_is_recorded_when_the_client_gives_up(server: Served) -> None:
    await server.script("timeout")
    with pytest.raises(openai.APITimeoutError):
        await server.ask_openai("gone", timeout=1)
    entries = await server.wait_for_entries()
    assert [(entry["id"], entry["outcome"], entry["billed"]) for entry in entries] == [("gone", "timeout", False)]


async def test_slow_answer_is_billed_though_its_client_left(server: Served) -> None:
    await server.post("/rehearsal/latency", {"seconds": 0.4})
    await server.script("slow")
    with pytest.raises(anthropic.APITimeoutError):
        await server.ask_anthropic("left", timeout=1)
    entries = await server.wait_for_entries()
    assert [(entry["outcome"], entry["billed"], entry["delivered"]) for entry in entries] == [("slow", True, False)]


async def test_request_quota_says_when_to_come_back() -> None:
    async with serving(rpm=20, burst=6) as server:
        began = time.monotonic()
        replies = [await server.ask_openai() for _ in range(2)]
        assert len(replies) == 2
        with pytest.raises(openai.RateLimitError) as caught:
            await server.ask_openai()
        headers = caught.value.response.headers
        assert ceil(3 - (time.monotonic() - began)) <= int(headers["retry-after"]) <= 3
        assert headers["x-ratelimit-limit-requests"] == "20"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        await server.ask_anthropic()  # another model's quota
        await asyncio.sleep(int(headers["retry-after"]))
        assert await server.ask_openai()


async def test_token_quota_and_its_settlement(server: Served) -> None:
    status, _ = await server.post("/rehearsal/quotas", {"tokens_per_minute": 500})
    assert status == 200
    # 20 questions are expected to take about 340 tokens; cut at 60, the rest is given back.
    message = await server.anthropic.messages.with_raw_response.create(
        model="claude-haiku-5-5", max_tokens=60, messages=[{"role": "user", "content": "Topic: tides\nQuestions: 20\n"}]
    )
    assert int(message.headers["anthropic-ratelimit-output-tokens-remaining"]) == pytest.approx(440, abs=25)
    await server.ask_anthropic()
    with pytest.raises(anthropic.RateLimitError) as caught:
        await server.ask_anthropic()
    assert int(caught.value.response.headers["retry-after"]) >= 1


async def test_limit_headers_can_be_switched_off(server: Served) -> None:
    await server.post("/rehearsal/quotas", {"headers": False})
    raw = await server.openai.chat.completions.with_raw_response.create(
        model="gpt-6-luna", messages=[{"role": "user", "content": "Topic: tides\n"}]
    )
    assert not [name for name in raw.headers if name.startswith("x-ratelimit")]
    assert raw.headers["x-request-id"]


async def test_record_matches_what_was_served(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    before = time.time()
    async with serving(record=path) as server:
        await server.script("ok", "429", "ok")
        reply = await server.ask_openai("first")
        with pytest.raises(openai.RateLimitError):
            await server.ask_openai("second")
        message = await server.ask_anthropic("third")
        first, second, third = entries = await server.entries()
        summary = await server.get("/rehearsal/summary")
        page = await server.get("/rehearsal/record?since=1&limit=1")
    assert [entry["seq"] for entry in entries] == [1, 2, 3]
    assert [entry["id"] for entry in entries] == ["first", "second", "third"]
    assert [entry["outcome"] for entry in entries] == ["ok", "429", "ok"]
    assert [entry["billed"] for entry in entries] == [True, False, True]
    assert (first["input_tokens"], first["output_tokens"]) == (
        reply.usage.prompt_tokens,
        reply.usage.completion_tokens,
    )
    assert (second["status"], second["retry_after"], second["output_tokens"]) == (429, 1, 0)
    assert (third["provider"], third["model"]) == ("anthropic", "claude-haiku-5-5")
    assert third["output_tokens"] == message.usage.output_tokens
    assert before <= first["started"] <= first["time"] <= third["time"] <= time.time()
    assert (summary["requests"], summary["billed"]) == (3, 2)
    assert summary["output_tokens"] == first["output_tokens"] + third["output_tokens"]
    assert sum(row["count"] for row in summary["outcomes"]) == 3
    assert ([entry["seq"] for entry in page["entries"]], page["next"]) == ([2], 2)
    assert [json.loads(line) for line in path.read_text().splitlines()] == entries


async def test_shares_of_faults_are_set_while_running(server: Served) -> None:
    status, plan = await server.post("/rehearsal/faults", {"shares": {"500": 1.0}})
    assert (status, plan["shares"]) == (200, {"500": 1.0})
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            await server.ask_openai()
    await server.post("/rehearsal/faults", {"shares": "none"})
    assert await server.ask_openai()


async def test_same_seed_same_faults() -> None:
    async def outcomes() -> list[str]:
        async with serving(faults="500=0.3,cut=0.2", seed=5) as server:
            for _ in range(12):
                try:
                    await server.ask_openai()
                except openai.InternalServerError:
                    continue
            return [entry["outcome"] for entry in await server.entries()]

    first = await outcomes()
    assert first == await outcomes()
    assert {"ok", "500", "cut"} <= set(first)


async def test_small_pool_runs_dry(server: Served) -> None:
    await server.post("/rehearsal/pools", {"size": 12})
    texts = [text for _ in range(8) for text in json.loads((await server.ask_anthropic()).content[0].text)["questions"]]
    assert len(set(texts)) <= 16


async def test_questions_are_longer_than_asked_when_told_so(server: Served) -> None:
    async def mean_tokens() -> float:
        replies = [json.loads((await server.ask_openai()).choices[0].message.content) for _ in range(5)]
        return statistics.fmean(count_tokens(text) for reply in replies for text in reply["questions"])

    before = await mean_tokens()
    assert (await server.post("/rehearsal/pools", {"length_short": 2}))[1]["length_short"] == 2
    assert await mean_tokens() > 1.6 * before


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("/rehearsal/faults", {"shares": {"lightning": 1}}, "lightning"),
        ("/rehearsal/faults", {"shares": {"cut": 2}}, "between 0 and 1"),
        ("/rehearsal/faults", {"sahres": {}}, "sahres"),
        ("/rehearsal/quotas", {"requests_per_minute": 0}, "requests_per_minute"),
        ("/rehearsal/pools", {"size": 0}, "size"),
        ("/rehearsal/pools", {"length_long": 0}, "length_long"),
        ("/rehearsal/judges", {"noise": 1.5}, "noise"),
        ("/rehearsal/answers", {"tokens_short": 5}, "tokens_short"),
    ],
)
async def test_wrong_control_requests_are_refused(server: Served, path: str, content: object, says: str) -> None:
    status, answer = await server.post(path, content)
    assert status == 400
    assert says in answer["error"]


async def test_bad_requests_get_the_providers_errors(server: Served) -> None:
    with pytest.raises(openai.BadRequestError):
        await server.ask_openai(stream=True)
    async with server.http.post(f"{server.url}/v1/messages", headers={"x-api-key": "k"}, data=b"{") as response:
        assert (response.status, (await response.json())["error"]["type"]) == (400, "invalid_request_error")
    async with server.http.post(f"{server.url}/v1/chat/completions", json={"model": "m"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "invalid_api_key")
    status, answer = await server.post("/v1/messages", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
    assert (status, answer["error"]["type"]) == (401, "authentication_error")
    async with server.http.get(f"{server.url}/nowhere") as response:
        assert (response.status, response.headers["x-questmill-rehearsal"]) == (404, "1")


async def test_front_page_says_what_it_is(server: Served) -> None:
    async with server.http.get(server.url) as response:
        text = await response.text()
    assert "rehearsal" in text
    assert "plays no real model" in text
