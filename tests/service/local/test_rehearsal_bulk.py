import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from local.rehearsal.config import RehearsalConfig, read_config
from tests.service.local.rehearsal_client import USER, Served, serving

MESSAGES = [{"role": "user", "content": USER}]
CHAT: Mapping[str, Any] = {"model": "gpt-6-luna", "messages": MESSAGES}
MESSAGE: Mapping[str, Any] = {"model": "claude-haiku-5-5", "max_tokens": 2000, "messages": MESSAGES}
ENDPOINT: Any = "/v1/chat/completions"
KEY = {"Authorization": "Bearer rehearsal"}
UNDER_WAY = {"validating", "in_progress", "finalizing"}


@pytest.fixture(scope="module")
async def shared_server() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture
async def server(shared_server: Served) -> Served:
    return await shared_server.reset()


def row(custom_id: str, **changes: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": CHAT} | changes


async def upload(server: Served, *rows: object) -> str:
    content = "\n".join(json.dumps(each) for each in rows).encode()
    return (await server.openai.files.create(file=("mine.jsonl", content), purpose="batch")).id


async def create(server: Served, *rows: object, **more: Any) -> openai.types.Batch:
    file_id = await upload(server, *rows)
    return await server.openai.batches.create(input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", **more)


async def openai_ended(server: Served, batch_id: str) -> openai.types.Batch:
    async with asyncio.timeout(10):
        while (batch := await server.openai.batches.retrieve(batch_id)).status in UNDER_WAY:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return batch


async def create_messages(server: Served, *custom_ids: str) -> anthropic.types.messages.MessageBatch:
    requests: Any = [{"custom_id": custom_id, "params": MESSAGE} for custom_id in custom_ids]
    return await server.anthropic.messages.batches.create(requests=requests)


async def anthropic_ended(server: Served, batch_id: str) -> anthropic.types.messages.MessageBatch:
    async with asyncio.timeout(10):
        while (batch := await server.anthropic.messages.batches.retrieve(batch_id)).processing_status != "ended":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return batch


async def lines(server: Served, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in (await server.openai.files.content(file_id)).text.split("\n") if line]


async def test_openai_round_trip(server: Served) -> None:
    created = await create(server, row("a"), row("b"), row("c"), metadata={"mine": "1"})
    assert (created.status, created.metadata, created.output_file_id) == ("validating", {"mine": "1"}, None)
    assert created.expires_at == created.created_at + 24 * 3600
    batch = await openai_ended(server, created.id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert batch.request_counts == openai.types.BatchRequestCounts(completed=3, failed=0, total=3)
    output = await lines(server, batch.output_file_id)
    assert sorted(each["custom_id"] for each in output) == ["a", "b", "c"]
    for each in output:
        assert (each["error"], each["response"]["status_code"]) == (None, 200)
        reply = openai.types.chat.ChatCompletion.model_validate(each["response"]["body"])
        assert len(json.loads(reply.choices[0].message.content or "")["questions"]) == 20
    entries = await server.entries()
    assert {(entry["id"], entry["bulk"], entry["billed"]) for entry in entries} == {
        (custom_id, batch.id, True) for custom_id in "abc"
    }


async def test_single_requests_are_marked_as_such(server: Served) -> None:
    await server.ask_openai()
    assert [entry["bulk"] for entry in await server.entries()] == [None]


async def test_openai_errors_are_in_a_file_of_their_own(server: Served) -> None:
    await server.script("ok", "500")
    batch = await create(server, row("good"), row("bad"), row("worse", body={"model": "gpt-6-luna"}))
    batch = await openai_ended(server, batch.id)
    assert batch.request_counts == openai.types.BatchRequestCounts(completed=1, failed=2, total=3)
    assert [each["custom_id"] for each in await lines(server, batch.output_file_id)] == ["good"]
    errors = {each["custom_id"]: each["response"] for each in await lines(server, batch.error_file_id)}
    assert errors["bad"]["status_code"] == 500
    assert errors["worse"]["status_code"] == 400
    assert "messages" in errors["worse"]["body"]["error"]["message"]


async def test_openai_expiry_and_cancel(server: Served) -> None:
    await server.post("/rehearsal/bulk", {"expire_share": 1})
    batch = await openai_ended(server, (await create(server, row("a"))).id)
    assert (batch.status, batch.output_file_id) == ("expired", None)
    (line,) = await lines(server, batch.error_file_id)
    assert (line["response"], line["error"]["code"]) == (None, "batch_expired")

    await server.post("/rehearsal/bulk", {"expire_share": 0, "hold": True})
    running = await create(server, row("a"))
    cancelling = await server.openai.batches.cancel(running.id)
    assert cancelling.status == "cancelling"
    async with asyncio.timeout(10):
        while (batch := await server.openai.batches.retrieve(running.id)).status != "cancelled":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (line,) = await lines(server, batch.error_file_id)
    assert line["error"]["code"] == "batch_cancelled"
    with pytest.raises(openai.APIStatusError):
        await server.openai.batches.cancel(running.id)
    assert await server.entries() == []


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row("a"), row("a")], "duplicate_custom_id"),
        ([row("a", url="/v1/embeddings")], "invalid_url"),
        ([row("a"), row("b", body={"model": "other"})], "mismatched_model"),
        (["what?"], "invalid_json_line"),
        ([], "empty_file"),
    ],
)
async def test_openai_checks_the_file(server: Served, rows: list[Any], code: str) -> None:
    batch = await openai_ended(server, (await create(server, *rows)).id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [each.code for each in batch.errors.data or ()] == [code]


async def test_openai_enqueues_so_many_tokens_of_a_model(server: Served) -> None:
    await openai_ended(server, (await create(server, row("a"))).id)
    [entry] = await server.entries()
    limit = entry["input_tokens"] * 3 // 2
    await server.post("/rehearsal/bulk", {"enqueued_tokens": limit, "hold": True})
    first, crowded = await create(server, row("a")), await create(server, row("b"))
    other = await create(server, row("c", body={**CHAT, "model": "gpt-6.1-sol"}))
    assert {each.status for each in (first, crowded, other)} == {"validating"}
    await server.post("/rehearsal/bulk", {"hold": False})
    refused = await openai_ended(server, crowded.id)
    assert refused.status == "failed"
    assert refused.errors is not None
    errors = [(each.code, f"Limit: {limit} enqueued tokens" in str(each.message)) for each in refused.errors.data or ()]
    assert errors == [("token_limit_exceeded", True)]
    assert [(await openai_ended(server, each.id)).status for each in (first, other)] == ["completed", "completed"]
    assert (await openai_ended(server, (await create(server, row("b"))).id)).status == "completed"


async def test_openai_lists_newest_first_by_pages(server: Served) -> None:
    made = [(await create(server, row("a"))).id for _ in range(5)]
    listed = [batch.id async for batch in server.openai.batches.list(limit=2)]
    assert listed[:5] == made[::-1]
    page = await server.openai.batches.list(limit=2, after=made[2])
    assert [batch.id for batch in page.data] == [made[1], made[0]]


async def test_openai_files_can_be_listed_and_deleted(server: Served) -> None:
    file_id = await upload(server, row("a"))
    assert file_id in [file.id async for file in server.openai.files.list()]
    assert (await server.openai.files.retrieve(file_id)).filename == "mine.jsonl"
    assert (await server.openai.files.delete(file_id)).deleted
    with pytest.raises(openai.NotFoundError):
        await server.openai.files.content(file_id)
    with pytest.raises(openai.BadRequestError, match="input_file_id"):
        await server.openai.batches.create(input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h")


async def test_anthropic_round_trip(server: Served) -> None:
    await server.script("ok", "529", "ok")
    await server.post("/rehearsal/bulk", {"hold": True})
    created = await create_messages(server, "a", "b", "c")
    assert (created.processing_status, created.request_counts.processing) == ("in_progress", 3)
    assert created.results_url is None
    with pytest.raises(anthropic.AnthropicError):
        await server.anthropic.messages.batches.results(created.id)
    await server.post("/rehearsal/bulk", {"hold": False})
    batch = await anthropic_ended(server, created.id)
    counts = batch.request_counts
    assert (counts.processing, counts.succeeded, counts.errored, counts.expired, counts.canceled) == (0, 2, 1, 0, 0)
    results = {each.custom_id: each.result async for each in await server.anthropic.messages.batches.results(batch.id)}
    first, second = results["a"], results["b"]
    assert isinstance(first, anthropic.types.messages.MessageBatchSucceededResult)
    assert first.message.stop_reason == "end_turn"
    assert isinstance(second, anthropic.types.messages.MessageBatchErroredResult)
    assert second.error.error.type == "overloaded_error"
    assert {(entry["id"], entry["bulk"]) for entry in await server.entries()} == {(each, batch.id) for each in "abc"}


async def test_anthropic_cancel(server: Served) -> None:
    await server.post("/rehearsal/bulk", {"seconds": 3600})
    created = await create_messages(server, "a", "b")
    await server.wait_for_entries()
    canceling = await server.anthropic.messages.batches.cancel(created.id)
    assert (canceling.processing_status, canceling.cancel_initiated_at is not None) == ("canceling", True)
    batch = await anthropic_ended(server, created.id)
    assert (batch.request_counts.succeeded, batch.request_counts.canceled) == (1, 1)
    with pytest.raises(anthropic.BadRequestError):
        await server.anthropic.messages.batches.cancel(created.id)


async def test_anthropic_lists_newest_first_by_pages(server: Served) -> None:
    made = [(await create_messages(server, "a")).id for _ in range(5)]
    batches = server.anthropic.messages.batches
    assert [batch.id async for batch in batches.list(limit=2)][:5] == made[::-1]
    assert [batch.id for batch in (await batches.list(limit=2, after_id=made[3])).data] == [made[2], made[1]]
    before = await batches.list(limit=2, before_id=made[0])
    assert [batch.id for batch in before.data] == [made[2], made[1]]
    assert before.has_more


@pytest.mark.parametrize("custom_ids", [("a", "a"), ("",), ("x" * 65,), ()])
async def test_anthropic_refuses_wrong_custom_ids(server: Served, custom_ids: tuple[str, ...]) -> None:
    with pytest.raises(anthropic.BadRequestError):
        await create_messages(server, *custom_ids)


async def test_providers_do_not_see_each_others_submissions(server: Served) -> None:
    theirs = (await create_messages(server, "a")).id
    assert theirs not in [batch.id async for batch in server.openai.batches.list()]
    with pytest.raises(openai.NotFoundError):
        await server.openai.batches.retrieve(theirs)


async def test_control_shows_submissions_and_refuses_nonsense(server: Served) -> None:
    await server.post("/rehearsal/bulk", {"hold": True})
    created = await create(server, row("a"), row("b"), metadata={"mine": "1"})
    shown = await server.get("/rehearsal/bulk")
    assert shown["hold"] is True
    mine = shown["submissions"][-1]
    assert (mine["id"], mine["provider"], mine["metadata"]) == (created.id, "openai", {"mine": "1"})
    assert mine["requests"] == {"a": None, "b": None}
    await server.post("/rehearsal/bulk", {"hold": False})
    await openai_ended(server, created.id)
    assert (await server.get("/rehearsal/bulk"))["submissions"][-1]["requests"] == {"a": "succeeded", "b": "succeeded"}
    status, body = await server.post("/rehearsal/bulk", {"error_share": 2})
    assert (status, "error_share" in body["error"]) == (400, True)


async def test_lost_answer_is_of_a_submission_that_was_taken(server: Served) -> None:
    await server.post("/rehearsal/bulk", {"lose_next": 1})
    before = len((await server.get("/rehearsal/bulk"))["submissions"])
    with pytest.raises(anthropic.APIConnectionError):
        await create_messages(server, "a")
    assert len((await server.get("/rehearsal/bulk"))["submissions"]) == before + 1


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/messages/batches"])
async def test_without_a_key_nothing_is_shown(server: Served, path: str) -> None:
    async with server.http.get(server.url + path) as response:
        assert response.status == 401


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=nowhere", "limit=101"])
async def test_wrong_page_is_refused(server: Served, query: str) -> None:
    async with server.http.get(f"{server.url}/v1/batches?{query}", headers=KEY) as response:
        assert response.status == 400


async def test_stop_drops_what_is_held() -> None:
    async with serving(bulk_seconds=3600) as served, aiohttp.ClientSession() as http:
        await create(served, row("a"), row("b"))
        async with http.get(f"{served.url}/rehearsal/bulk") as response:
            assert (await response.json())["seconds"] == 3600


def test_settings_come_from_the_command_line_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUESTMILL_REHEARSAL_BULK_EXPIRE_SHARE", "0.25")
    config = read_config(["--bulk-seconds", "3", "--bulk-error-share", "0.5"])
    assert (config.bulk_seconds, config.bulk_error_share, config.bulk_expire_share) == (3, 0.5, 0.25)
    assert RehearsalConfig.model_fields["bulk_seconds"].default == 1
