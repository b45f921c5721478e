"""Judging and answering, steered over HTTP and asked for through the providers' own SDKs."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.questions.tokens import count_tokens
from tests.service.local.rehearsal_client import Served, serving

HEAD = "Domain: math\nDifficulty: easy\nQuestions: 2\n\nHere they are.\n"
USER = f'{HEAD}\n<question number="1">\nWhat is 5 + 12?\n</question>\n\n<question number="2">\nWhy?\n</question>\n'


def schema(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "array", "items": {"type": "object"}}}}


@pytest.fixture(scope="module")
async def shared_server() -> AsyncIterator[Served]:
    async with serving(judge_noise=0) as served:
        yield served


@pytest.fixture
async def server(shared_server: Served) -> Served:
    return await shared_server.reset()


async def ask_openai(server: Served, name: str, limit: int = 5000) -> Any:
    return await server.openai.chat.completions.create(
        model="gpt-6-luna",
        max_completion_tokens=limit,
        messages=[{"role": "user", "content": USER}],
        response_format={"type": "json_schema", "json_schema": {"name": name, "schema": schema(name)}},
    )


async def test_judges_refuse_what_they_are_told_to(server: Served) -> None:
    async def reasons() -> list[str]:
        reply = await ask_openai(server, "verdicts")
        return [verdict["reason"] for verdict in json.loads(reply.choices[0].message.content)["verdicts"]]

    assert await server.post("/rehearsal/judges", {"reject_share": 1, "noise": 0}) == (
        200,
        {"reject_share": 1, "noise": 0},
    )
    assert all(await reasons())
    await server.post("/rehearsal/judges", {"reject_share": 0})
    assert await reasons() == ["", ""]


async def test_answers_are_as_long_as_is_set(server: Served) -> None:
    await server.post("/rehearsal/answers", {"tokens_short": 400})
    message: Any = await server.anthropic.messages.create(
        model="claude-haiku-5-5",
        max_tokens=5000,
        messages=[{"role": "user", "content": USER}],
        output_config={"format": {"type": "json_schema", "schema": schema("answers")}},
    )
    first, second = json.loads(message.content[0].text)["answers"]
    assert first["answer"].endswith("So 5 + 12 = 17.")
    assert all(count_tokens(each["answer"]) > 150 for each in (first, second))


async def test_reasoning_needs_more_room(server: Served) -> None:
    await server.post("/rehearsal/answers", {"reasoning_share": 1, "reasoning_room": 2000})
    cut = await ask_openai(server, "answers", 1000)
    assert (cut.choices[0].finish_reason, cut.choices[0].message.content) == ("length", "")
    assert cut.usage.completion_tokens_details.reasoning_tokens == 1000
    whole = await ask_openai(server, "answers", 2000)
    assert whole.choices[0].finish_reason == "stop"
    assert len(json.loads(whole.choices[0].message.content)["answers"]) == 2
