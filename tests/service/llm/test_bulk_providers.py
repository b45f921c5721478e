import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from shared.ids import CallId, new_call_id
from shared.llm import bulk_anthropic, bulk_openai
from shared.llm.bulk import (
    LIMITS,
    BulkProblem,
    BulkProvider,
    BulkState,
    BulkStatus,
    Undecided,
    check_size,
    most_requests,
)
from shared.llm.bulk_anthropic import AnthropicBulkProvider
from shared.llm.bulk_openai import OpenAIBulkProvider
from shared.llm.provider import LLMReply, LLMRequest, Outcome
from shared.llm.providers import open_bulk_providers
from shared.llm.reading import read_reply
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
from tests.service.local.rehearsal_client import SCHEMA, USER, Served, serving

NAMES = ["openai", "anthropic"]
MODULES = {"openai": bulk_openai, "anthropic": bulk_anthropic}
TEXT = '{"questions": ["What is 2 + 2?"]}'


@pytest.fixture(scope="module")
async def shared_server() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture
async def server(shared_server: Served) -> Served:
    return await shared_server.reset()


@pytest.fixture(params=NAMES)
async def provider(request: pytest.FixtureRequest, server: Served) -> AsyncIterator[BulkProvider]:
    async with opened(request.param, server.url) as found:
        yield found


@pytest.fixture
async def openai(server: Served) -> AsyncIterator[BulkProvider]:
    async with opened("openai", server.url) as found:
        yield found


@pytest.fixture
async def anthropic(server: Served) -> AsyncIterator[BulkProvider]:
    async with opened("anthropic", server.url) as found:
        yield found


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as started:
        yield started


@asynccontextmanager
async def opened(name: str, url: str) -> AsyncIterator[BulkProvider]:
    made: BulkProvider = OpenAIBulkProvider("sk", f"{url}/v1") if name == "openai" else AnthropicBulkProvider("sk", url)
    try:
        yield made
    finally:
        await made.close()


def calls(count: int, *, system: str = "You write.", max_output_tokens: int = 2000) -> list[LLMRequest]:
    """Requests for one question, for two, and so on: each reply shows to which it belongs."""
    return [
        LLMRequest(
            call_id=new_call_id(),
            model="some-model",
            system=system,
            user=USER.replace("Questions: 20", f"Questions: {number}"),
            schema=SCHEMA,
            schema_name="questions",
            max_output_tokens=max_output_tokens,
            timeout_seconds=5,
        )
        for number in range(1, count + 1)
    ]


def ids(requests: Sequence[LLMRequest]) -> list[CallId]:
    return [request.call_id for request in requests]


async def ended(provider: BulkProvider, provider_id: str) -> BulkStatus:
    async with asyncio.timeout(10):
        while (status := await provider.look(provider_id)).state is BulkState.IN_PROGRESS:  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.01)
        return status


async def fetched(provider: BulkProvider, provider_id: str) -> dict[CallId, LLMReply]:
    return {call_id: reply async for call_id, reply in provider.results(provider_id)}


async def run(provider: BulkProvider, requests: Sequence[LLMRequest]) -> dict[CallId, LLMReply]:
    status = await ended(provider, (await provider.submit(uuid4(), requests)).provider_id)
    assert status.state is BulkState.ENDED
    return await fetched(provider, status.provider_id)


async def find(
    provider: BulkProvider,
    submission_id: UUID,
    requests: Sequence[LLMRequest],
    known: Collection[str] = (),
    ahead: timedelta = timedelta(),
) -> BulkStatus | Undecided | None:
    since = datetime.now(UTC) + ahead
    return await provider.find(submission_id, since=since, call_ids=ids(requests), known=known)


async def lose(server: Served, provider: BulkProvider, submission_id: UUID, requests: Sequence[LLMRequest]) -> None:
    """Hand requests in, and lose the answer."""
    await server.post("/rehearsal/bulk", {"lose_next": 1})
    with pytest.raises(BulkProblem) as caught:
        await provider.submit(submission_id, requests)
    assert caught.value.outcome is Outcome.CONNECTION
    assert caught.value.maybe_submitted


async def test_each_reply_is_that_of_a_single_call(server: Served, provider: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"seconds": 0.05})
    requests = calls(20)
    submitted = await provider.submit(uuid4(), requests)
    assert submitted.state is BulkState.IN_PROGRESS
    assert abs(submitted.created_at - datetime.now(UTC)) < timedelta(seconds=10)
    done = await ended(provider, submitted.provider_id)
    assert done == BulkStatus(submitted.provider_id, BulkState.ENDED, submitted.created_at, 20)
    replies = await fetched(provider, done.provider_id)
    assert sorted(replies) == sorted(ids(requests))
    assert list(replies) != ids(requests)  # the order is another one
    for number, request in enumerate(requests, start=1):
        reply = replies[request.call_id]
        assert (reply.outcome, reply.http_status) == (Outcome.OK, 200)
        assert len(json.loads(reply.text)["questions"]) == number
        again = read_reply(provider.name, reply.raw or "")
        assert (again.text, again.usage, again.finish_reason) == (reply.text, reply.usage, reply.finish_reason)


async def test_openai_is_handed_a_file_of_single_calls(server: Served, openai: BulkProvider) -> None:
    submission_id, requests = uuid4(), calls(2)
    await openai.submit(submission_id, requests)
    files = {file.filename: file.id async for file in server.openai.files.list()}
    content = (await server.openai.files.content(files[f"{submission_id}.jsonl"])).text
    rows = [json.loads(row) for row in content.splitlines()]
    assert rows == [
        {
            "custom_id": str(request.call_id),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "some-model",
                "messages": [{"role": "system", "content": "You write."}, {"role": "user", "content": request.user}],
                "max_tokens": 2000,  # as single calls say it behind a base URL of its own
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "questions", "strict": True, "schema": SCHEMA},
                },
            },
        }
        for request in requests
    ]


async def test_anthropic_is_handed_single_calls(scripted: ScriptedServer) -> None:
    requests = calls(2)
    scripted.answers.append(ENDED["anthropic"])
    async with opened("anthropic", scripted.url) as provider:
        await provider.submit(uuid4(), requests)
    assert scripted.requests[0].path == "/v1/messages/batches"
    assert scripted.requests[0].body["requests"] == [
        {
            "custom_id": str(request.call_id),
            "params": {
                "model": "some-model",
                "max_tokens": 2000,
                "system": "You write.",
                "messages": [{"role": "user", "content": request.user}],
                "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
            },
        }
        for request in requests
    ]


async def test_every_request_is_in_the_servers_record_at_its_tokens(server: Served, provider: BulkProvider) -> None:
    requests = calls(3)
    replies = await run(provider, requests)
    entries = {entry["id"]: entry for entry in await server.entries()}
    assert sorted(entries) == sorted(str(call_id) for call_id in replies)
    for call_id, reply in replies.items():
        entry = entries[str(call_id)]
        assert reply.usage is not None
        assert (entry["input_tokens"], entry["output_tokens"]) == (reply.usage.input_tokens, reply.usage.output_tokens)
        assert entry["billed"]
        assert entry["bulk"]


async def test_failures_inside_are_those_of_single_calls(server: Served, provider: BulkProvider) -> None:
    await server.script("ok", "500", "529", "quota", "cut", "refusal")
    requests = calls(6)
    replies = await run(provider, requests)
    assert [replies[call_id].outcome for call_id in ids(requests)] == [
        Outcome.OK,
        Outcome.SERVER_ERROR,
        Outcome.OVERLOADED,
        Outcome.QUOTA,
        Outcome.CUT,
        Outcome.REFUSED,
    ]
    failed = replies[requests[1].call_id]
    assert (failed.http_status, failed.usage) == (500, None)
    assert "The server had an error" in str(failed.detail)


async def test_request_that_the_provider_does_not_take_is_a_bad_request(provider: BulkProvider) -> None:
    (reply,) = (await run(provider, calls(1, max_output_tokens=0))).values()
    assert (reply.outcome, reply.http_status) == (Outcome.BAD_REQUEST, 400)


async def test_expired_requests_are_told_apart_and_free(server: Served, provider: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"expire_share": 0.4, "error_share": 0.3})
    replies = await run(provider, calls(60))
    outcomes = [reply.outcome for reply in replies.values()]
    assert set(outcomes) == {Outcome.OK, Outcome.EXPIRED, Outcome.SERVER_ERROR}
    assert len(outcomes) == 60
    assert sum(entry["billed"] for entry in await server.entries()) == outcomes.count(Outcome.OK)


async def test_openai_tells_of_expiry_in_the_status(server: Served, openai: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"expire_share": 1})
    submitted = await openai.submit(uuid4(), calls(2))
    status = await ended(openai, submitted.provider_id)
    assert (status.state, status.detail) == (BulkState.ENDED, "expired")


async def test_openai_refuses_a_whole_submission_later(server: Served, openai: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"fail_next": 1})
    submitted = await openai.submit(uuid4(), calls(2))
    status = await ended(openai, submitted.provider_id)
    assert status.state is BulkState.FAILED
    assert "told to fail" in str(status.detail)
    assert await fetched(openai, status.provider_id) == {}
    assert await server.entries() == []


async def test_openai_refuses_what_it_has_no_room_for_and_the_code_is_told(
    server: Served, openai: BulkProvider
) -> None:
    await server.post("/rehearsal/bulk", {"enqueued_tokens": 1})
    submitted = await openai.submit(uuid4(), calls(2))
    assert (submitted.state, submitted.outcome) == (BulkState.IN_PROGRESS, None)
    status = await ended(openai, submitted.provider_id)
    assert (status.state, status.outcome) == (BulkState.FAILED, Outcome.RATE_LIMITED)
    assert str(status.detail).startswith("token_limit_exceeded: Enqueued token limit reached for some-model in org")


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        ("token_limit_exceeded", "Enqueued token limit reached for gpt-6-luna.", Outcome.RATE_LIMITED),
        ("token_limit_exceeded", "Too many tokens wait for the deployment.", Outcome.RATE_LIMITED),
        (None, "Enqueued request limit reached for gpt-6-luna.", Outcome.RATE_LIMITED),
        ("billing_hard_limit_reached", "Billing hard limit has been reached.", Outcome.QUOTA),
        ("invalid_json_line", "This line is not parseable as valid JSON.", Outcome.BAD_REQUEST),
        ("mismatched_model", None, Outcome.BAD_REQUEST),
    ],
)
def test_openai_refusal_of_a_whole_submission_counts_by_its_code(
    code: str | None, message: str | None, outcome: Outcome
) -> None:
    errors = {"data": [{"code": code, "message": message, "line": None}]}
    status = bulk_openai.read_status({"id": "b", "status": "failed", "created_at": 1, "errors": errors})
    assert (status.state, status.outcome) == (BulkState.FAILED, outcome)
    assert status.detail == ": ".join(filter(None, (code, message)))


async def test_anthropic_refuses_a_whole_submission_at_once(server: Served, anthropic: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"fail_next": 1})
    with pytest.raises(BulkProblem) as caught:
        await anthropic.submit(uuid4(), calls(2))
    assert caught.value.outcome is Outcome.BAD_REQUEST
    assert not caught.value.maybe_submitted


async def test_cancel_keeps_what_is_there(server: Served, provider: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"seconds": 3600})
    requests = calls(3)
    submitted = await provider.submit(uuid4(), requests)
    await server.wait_for_entries()  # the first is answered at once, the next in twenty minutes
    await provider.cancel(submitted.provider_id)
    assert (await ended(provider, submitted.provider_id)).state is BulkState.ENDED
    replies = await fetched(provider, submitted.provider_id)
    assert [replies[call_id].outcome for call_id in ids(requests)] == [
        Outcome.OK,
        Outcome.CANCELLED,
        Outcome.CANCELLED,
    ]
    assert (await provider.cancel(submitted.provider_id)).state is BulkState.ENDED  # harmless


async def test_results_before_the_end_are_a_problem(server: Served, provider: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"hold": True})
    submitted = await provider.submit(uuid4(), calls(1))
    with pytest.raises(BulkProblem):
        await fetched(provider, submitted.provider_id)


async def test_unknown_submission_is_a_problem(provider: BulkProvider) -> None:
    with pytest.raises(BulkProblem) as caught:
        await provider.look("batch_nowhere")
    assert caught.value.http_status == 404


async def test_openai_finds_a_lost_submission_by_its_metadata(server: Served, openai: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"hold": True})
    submission_id, requests = uuid4(), calls(2)
    await openai.submit(uuid4(), calls(2))
    await lose(server, openai, submission_id, requests)
    found = await find(openai, submission_id, requests)
    assert isinstance(found, BulkStatus)
    assert await find(openai, submission_id, requests, known=[found.provider_id]) is None
    await server.post("/rehearsal/bulk", {"hold": False})
    await ended(openai, found.provider_id)
    assert sorted(await fetched(openai, found.provider_id)) == sorted(ids(requests))


async def test_openai_prefers_a_submission_that_runs(server: Served, openai: BulkProvider) -> None:
    submission_id, requests = uuid4(), calls(1)
    good = await openai.submit(submission_id, requests)
    await server.post("/rehearsal/bulk", {"fail_next": 1})
    bad = await openai.submit(submission_id, requests)
    await ended(openai, bad.provider_id)
    found = await find(openai, submission_id, requests)
    assert isinstance(found, BulkStatus)
    assert found.provider_id == good.provider_id
    found = await find(openai, submission_id, requests, known=[good.provider_id])
    assert isinstance(found, BulkStatus)
    assert (found.provider_id, found.state) == (bad.provider_id, BulkState.FAILED)


async def test_anthropic_finds_a_lost_submission_by_its_results(server: Served, anthropic: BulkProvider) -> None:
    await server.post("/rehearsal/bulk", {"hold": True})
    submission_id, requests = uuid4(), calls(2)
    other = await anthropic.submit(uuid4(), calls(2))
    await anthropic.submit(uuid4(), calls(3))  # of another size, so it cannot be the one
    await lose(server, anthropic, submission_id, requests)
    undecided = await find(anthropic, submission_id, requests, known=[other.provider_id])
    assert isinstance(undecided, Undecided)
    (provider_id,) = undecided.provider_ids
    await server.post("/rehearsal/bulk", {"hold": False})
    await ended(anthropic, provider_id)
    await ended(anthropic, other.provider_id)
    found = await find(anthropic, submission_id, requests)  # `other` is of that size, but its calls are others
    assert isinstance(found, BulkStatus)
    assert found.provider_id == provider_id
    assert sorted(await fetched(anthropic, provider_id)) == sorted(ids(requests))


async def test_anthropic_is_undecided_as_long_as_any_may_be_the_one(server: Served, anthropic: BulkProvider) -> None:
    requests = calls(2)
    over = await anthropic.submit(uuid4(), calls(2))
    await ended(anthropic, over.provider_id)
    assert await find(anthropic, uuid4(), requests) is None
    await server.post("/rehearsal/bulk", {"hold": True})
    running = await anthropic.submit(uuid4(), calls(2))
    assert await find(anthropic, uuid4(), requests) == Undecided((running.provider_id,))
    await anthropic.cancel(running.provider_id)
    await ended(anthropic, running.provider_id)
    assert await find(anthropic, uuid4(), requests) is None


async def test_submission_never_made_is_not_found(provider: BulkProvider) -> None:
    await ended(provider, (await provider.submit(uuid4(), calls(1))).provider_id)
    assert await find(provider, uuid4(), calls(1)) is None


async def test_lost_submission_is_found_behind_pages_of_newer_ones(
    server: Served, provider: BulkProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULES[provider.name], "PAGE", 2)
    submission_id, requests = uuid4(), calls(2)
    await lose(server, provider, submission_id, requests)
    for _ in range(4):
        last = await provider.submit(uuid4(), calls(1))
    await ended(provider, last.provider_id)
    found = await find(provider, submission_id, requests)
    assert isinstance(found, BulkStatus)
    assert found.requests == 2


async def test_only_submissions_since_the_intent_are_looked_at(provider: BulkProvider) -> None:
    submission_id, requests = uuid4(), calls(1)
    await ended(provider, (await provider.submit(submission_id, requests)).provider_id)
    assert await find(provider, submission_id, requests, ahead=timedelta(minutes=4)) is not None  # clocks differ
    assert await find(provider, submission_id, requests, ahead=timedelta(minutes=6)) is None


async def test_megabytes_are_handed_in(openai: BulkProvider, anthropic: BulkProvider) -> None:
    for provider in (openai, anthropic):
        replies = await run(provider, calls(3, system="x" * 1_500_000))
        assert {reply.outcome for reply in replies.values()} == {Outcome.OK}


UPLOADED = Answer(body=b'{"id": "file-1"}')
REFUSALS = [
    (Answer(401, openai_error("invalid_api_key")), Outcome.UNAUTHORISED, False),
    (Answer(429, openai_error("rate_limit_exceeded"), {"retry-after": "7"}), Outcome.RATE_LIMITED, False),
    (Answer(400, anthropic_error("invalid_request_error")), Outcome.BAD_REQUEST, False),
    (Answer(500, b"oops"), Outcome.SERVER_ERROR, True),
    (Answer(body=b"<html>hello</html>"), Outcome.MALFORMED, True),
    (Answer(body=b'{"id": "batch_1"}'), Outcome.MALFORMED, True),
    (Answer(reset_after=0), Outcome.CONNECTION, True),
    (Answer(delay_seconds=5), Outcome.TIMEOUT, True),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("answer", "outcome", "maybe"), REFUSALS)
async def test_problem_tells_whether_it_may_have_been_submitted(
    scripted: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    answer: Answer,
    outcome: Outcome,
    maybe: bool,
) -> None:
    if outcome is Outcome.TIMEOUT:  # the upload before it must not run into it on a busy machine
        for seconds in ("SUBMIT_SECONDS", "ASK_SECONDS"):
            monkeypatch.setattr(MODULES[name], seconds, 1.5)
    scripted.answers.extend([UPLOADED, answer] if name == "openai" else [answer])
    async with opened(name, scripted.url) as provider:
        with pytest.raises(BulkProblem) as caught:
            await provider.submit(uuid4(), calls(1))
    assert (caught.value.outcome, caught.value.maybe_submitted) == (outcome, maybe)
    assert caught.value.retry_after_seconds == (7 if outcome is Outcome.RATE_LIMITED else None)
    assert len(scripted.requests) == (2 if name == "openai" else 1)  # the SDK itself retries nothing


@pytest.mark.parametrize("answer", [Answer(reset_after=0), Answer(500), Answer(body=b"{}")])
async def test_failed_upload_submits_nothing(scripted: ScriptedServer, answer: Answer) -> None:
    scripted.answers.append(answer)
    async with opened("openai", scripted.url) as provider:
        with pytest.raises(BulkProblem) as caught:
            await provider.submit(uuid4(), calls(1))
    assert not caught.value.maybe_submitted


@pytest.mark.parametrize("name", NAMES)
async def test_connection_never_made_submits_nothing(name: str, unused_tcp_port: int) -> None:
    async with opened(name, f"http://127.0.0.1:{unused_tcp_port}") as provider:
        with pytest.raises(BulkProblem) as caught:
            await provider.submit(uuid4(), calls(1))
    assert (caught.value.outcome, caught.value.maybe_submitted) == (Outcome.UNREACHABLE, False)


ENDED: dict[str, Answer] = {
    "openai": Answer(
        body=b'{"id": "b", "status": "completed", "created_at": 1, "output_file_id": "file-1", "error_file_id": null}'
    ),
    "anthropic": Answer(
        body=b'{"id": "b", "processing_status": "ended", "created_at": "2026-11-22T10:00:00Z", "results_url": "/r"}'
    ),
}


def line(name: str, custom_id: str, text: str) -> bytes:
    if name == "openai":
        response = b'{"status_code": 200, "request_id": "r", "body": ' + openai_body(text) + b"}"
        return b'{"custom_id": "%s", "response": %s, "error": null}\n' % (custom_id.encode(), response)
    result = b'{"type": "succeeded", "message": ' + anthropic_body(text) + b"}"
    return b'{"custom_id": "%s", "result": %s}\n' % (custom_id.encode(), result)


@pytest.mark.parametrize("name", NAMES)
async def test_only_line_feeds_end_a_line_and_foreign_ids_are_left_out(scripted: ScriptedServer, name: str) -> None:
    call_id, text = new_call_id(), "one\u2028two\x85three"
    body = line(name, "of-somebody-else", TEXT) + line(name, str(call_id), text)
    scripted.answers.extend([ENDED[name], Answer(body=body.rstrip(b"\n"))])
    async with opened(name, scripted.url) as provider:
        replies = await fetched(provider, "b")
    assert {call_id: reply.text for call_id, reply in replies.items()} == {call_id: text}


@pytest.mark.parametrize("name", NAMES)
async def test_results_cut_short_are_a_problem_after_those_that_came(scripted: ScriptedServer, name: str) -> None:
    whole = line(name, str(new_call_id()), TEXT)
    for answer in (Answer(body=whole * 2, reset_after=len(whole) + 50), Answer(body=whole + whole[:50])):
        scripted.answers.extend([ENDED[name], answer])
        async with opened(name, scripted.url) as provider, aclosing(provider.results("b")) as results:
            await anext(results)
            with pytest.raises(BulkProblem):
                await anext(results)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("invalid_request_error", Outcome.BAD_REQUEST),
        ("rate_limit_error", Outcome.RATE_LIMITED),
        ("overloaded_error", Outcome.OVERLOADED),
        ("billing_error", Outcome.QUOTA),
        ("permission_error", Outcome.UNAUTHORISED),
        ("not_found_error", Outcome.UNKNOWN_MODEL),
        ("something_new", Outcome.SERVER_ERROR),
    ],
)
def test_anthropic_error_counts_as_the_status_of_its_type(kind: str, outcome: Outcome) -> None:
    reply = bulk_anthropic.read_result({"type": "errored", "error": json.loads(anthropic_error(kind))})
    assert (reply.outcome, reply.detail) == (outcome, "no")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("batch_expired", Outcome.EXPIRED),
        ("batch_cancelled", Outcome.CANCELLED),
        ("request_timeout", Outcome.SERVER_ERROR),
    ],
)
def test_openai_line_without_a_response_counts_by_its_code(code: str, outcome: Outcome) -> None:
    reply = bulk_openai.read_result({"response": None, "error": {"code": code, "message": "why"}})
    assert (reply.outcome, reply.detail, reply.raw) == (outcome, f"{code}: why", None)


@pytest.mark.parametrize("result", [None, {}, {"type": "succeeded"}, {"response": {"status_code": 200}}])
def test_nonsense_is_a_reply_too(result: Any) -> None:
    assert bulk_anthropic.read_result(result).outcome is Outcome.MALFORMED
    assert not bulk_openai.read_result(result or {}).outcome.usable


@pytest.mark.parametrize("name", NAMES)
def test_submission_beyond_the_limits_is_refused_before_it_is_sent(name: str) -> None:
    most_bytes = LIMITS[name].megabytes * 1_000_000
    check_size(name, most_requests(name), most_bytes)
    for requests, size in ((most_requests(name) + 1, 1), (1, most_bytes + 1), (0, 0)):
        with pytest.raises(BulkProblem) as caught:
            check_size(name, requests, size)
        assert not caught.value.maybe_submitted


async def test_only_bulk_providers_with_a_key_are_opened() -> None:
    keys = {"openai_api_key": SecretStr("k"), "anthropic_api_key": SecretStr("k")}
    async with AsyncExitStack() as stack:
        for changes, names in ((keys, NAMES), (keys | {"openai_api_key": None}, ["anthropic"])):
            found = open_bulk_providers(Settings().model_copy(update=changes))
            for each in found.values():
                stack.push_async_callback(each.close)
            assert list(found) == names
