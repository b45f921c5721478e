"""What is told of a job that ends or pauses: signed, in whatever state its receiver or its sender is."""

import asyncio
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from local.process import free_port
from shared.errors import InvalidInput
from shared.ids import JobId
from shared.jobs.control import cancel_job, pause_if_running, pause_job, resume_job
from shared.jobs.notifications import pause_seconds
from shared.jobs.receivers import UnusableReceiver
from shared.settings import Settings, load_settings
from tests.service.jobs.world import execute, fetch, make_spec, submit
from tests.service.workers.receiver import Receiver, receiving
from workers import notifier
from workers.notifier import Notifier, _request

SECRET = "a secret of the test"
NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


@pytest.fixture
def own(settings: Settings, receiver: Receiver) -> Settings:
    """Settings of a server with a receiver of its own."""
    return with_receiver(settings, receiver.url)


@pytest.fixture(autouse=True)
async def nothing_left(engine: AsyncEngine) -> None:
    await execute(engine, "DELETE FROM notification")


def with_receiver(settings: Settings, url: str | None, *, private: bool = False) -> Settings:
    return Settings.model_validate({
        "database_url": settings.database_url, "webhook_url": url, "webhook_secret": SECRET,
        "webhook_allow_private": private,
    })  # fmt: skip


async def states(engine: AsyncEngine, job_id: JobId) -> list[tuple[Any, ...]]:
    query = "SELECT event, state, attempts, detail FROM notification WHERE job_id = :id ORDER BY created_at, url"
    return await fetch(engine, query, id=job_id)


async def make_due(engine: AsyncEngine) -> None:
    await execute(engine, "UPDATE notification SET next_at = clock_timestamp() WHERE state = 'pending'")


async def test_pause_and_end_are_told_signed(
    engine: AsyncEngine, own: Settings, receiver: Receiver, job_id: JobId, dataset: str
) -> None:
    await pause_job(engine, job_id)
    await resume_job(engine, job_id)
    await cancel_job(engine, job_id)
    assert await Notifier(own, engine).run_once() == 2
    told = [orjson.loads(each.body) for each in receiver.received]
    assert {each["event"] for each in told} == {"job.paused", "job.cancelled"}
    for each, body in zip(receiver.received, told, strict=True):
        # As docs/notifications.md tells receivers to do it.
        signed = each.headers["Questmill-Timestamp"].encode() + b"." + each.body
        wanted = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert each.headers["Questmill-Signature"] == f"v1={wanted}"
        assert each.headers["Questmill-Event-Id"] == body["id"]
        assert (body["job"]["id"], body["job"]["dataset"]) == (str(job_id), dataset)
        assert body["job"]["reason"].endswith("by request")
        assert body["job"]["progress"]["target"] == 800
    assert [row[:3] for row in await states(engine, job_id)] == [
        ("paused", "delivered", 1),
        ("cancelled", "delivered", 1),
    ]
    assert await Notifier(own, engine).run_once() == 0


async def test_it_is_written_by_the_transaction_that_pauses_or_not_at_all(engine: AsyncEngine, job_id: JobId) -> None:
    async with engine.connect() as conn:
        await conn.exec_driver_sql("UPDATE job SET state = 'paused', reason = 'x' WHERE state = 'running'")
        await conn.rollback()
    assert await states(engine, job_id) == []
    assert await pause_if_running(engine, job_id, "the key is refused")
    assert [row[0] for row in await states(engine, job_id)] == ["paused"]
    assert not await pause_if_running(engine, job_id, "the key is refused")
    assert len(await states(engine, job_id)) == 1


async def test_without_a_receiver_nothing_is_kept(engine: AsyncEngine, settings: Settings, job_id: JobId) -> None:
    await cancel_job(engine, job_id)
    assert await Notifier(settings, engine).run_once() == 0
    assert await states(engine, job_id) == []


async def test_a_receiver_that_fails_gets_it_again_until_it_takes_it(
    engine: AsyncEngine, own: Settings, receiver: Receiver, job_id: JobId
) -> None:
    receiver.answers = [500, 503]
    await cancel_job(engine, job_id)
    for attempt, detail in ((1, "answered 500"), (2, "answered 503")):
        assert await Notifier(own, engine).run_once() == 1
        assert await states(engine, job_id) == [("cancelled", "pending", attempt, detail)]
        assert await Notifier(own, engine).run_once() == 0  # not before its time
        [[waits]] = await fetch(
            engine, "SELECT extract(epoch FROM next_at - clock_timestamp())::float FROM notification"
        )
        assert waits == pytest.approx(pause_seconds(attempt), abs=2)
        await make_due(engine)
    await Notifier(own, engine).run_once()
    assert await states(engine, job_id) == [("cancelled", "delivered", 3, "answered 200")]
    assert len(set(receiver.ids)) == 1
    assert len({each.body for each in receiver.received}) == 1


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "paused"])
async def test_every_end_and_a_pause_reach_once_a_receiver_that_fails_twice(
    engine: AsyncEngine, own: Settings, receiver: Receiver, job_id: JobId, state: str
) -> None:
    receiver.answers = [500, 503]
    change = """UPDATE job SET state = :state, reason = 'why it is so',
        finished_at = CASE WHEN :state <> 'paused' THEN clock_timestamp() END WHERE id = :id"""
    await execute(engine, change, state=state, id=job_id)
    for _ in range(4):
        await Notifier(own, engine).run_once()
        await make_due(engine)
    assert len(receiver.received) == 3
    for each in receiver.received:
        signed = each.headers["Questmill-Timestamp"].encode() + b"." + each.body
        wanted = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert each.headers["Questmill-Signature"] == f"v1={wanted}"
        told = orjson.loads(each.body)
        assert (told["event"], told["job"]["state"], told["job"]["reason"]) == (f"job.{state}", state, "why it is so")
    assert await states(engine, job_id) == [(state, "delivered", 3, "answered 200")]


async def test_a_receiver_that_is_down_gets_it_when_it_is_back(
    engine: AsyncEngine, settings: Settings, job_id: JobId
) -> None:
    port = free_port()
    own = with_receiver(settings, f"http://127.0.0.1:{port}/hook")
    await cancel_job(engine, job_id)
    await Notifier(own, engine).run_once()
    [(_, state, _, detail)] = await states(engine, job_id)
    assert (state, "ClientConnectorError" in detail) == ("pending", True)
    with receiving(port) as back:
        await make_due(engine)
        await Notifier(own, engine).run_once()
    assert len(back.received) == 1


async def test_a_slow_receiver_keeps_no_other_waiting(
    engine: AsyncEngine, settings: Settings, job_id: JobId, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "SEND_SECONDS", 1.5)
    receiver.may_answer.clear()
    await cancel_job(engine, job_id)
    with receiving() as quick:
        await execute(
            engine, "INSERT INTO notification (job_id, event, url) VALUES (:id, 'cancelled', :url)",
            id=job_id, url=quick.url,
        )  # fmt: skip
        await Notifier(with_receiver(settings, receiver.url, private=True), engine).run_once()
        assert len(quick.received) == len(receiver.received) == 1
    details = {detail for *_, detail in await states(engine, job_id)}
    assert details == {"answered 200", "no answer within 1.5 s"}


async def test_a_killed_sender_leaves_it_to_the_next_under_the_same_id(
    engine: AsyncEngine, own: Settings, receiver: Receiver, job_id: JobId
) -> None:
    receiver.may_answer.clear()
    await cancel_job(engine, job_id)
    sender = asyncio.create_task(Notifier(own, engine).run_once())
    await asyncio.to_thread(receiver.got_one.wait, 10)
    assert await Notifier(own, engine).run_once() == 0  # it is held
    sender.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sender
    receiver.may_answer.set()
    assert [row[1] for row in await states(engine, job_id)] == ["pending"]
    await make_due(engine)
    await Notifier(own, engine).run_once()
    assert [row[1:3] for row in await states(engine, job_id)] == [("delivered", 2)]
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1
    assert len({each.body for each in receiver.received}) == 1


async def test_two_senders_send_each_once(
    engine: AsyncEngine, own: Settings, receiver: Receiver, job_id: JobId
) -> None:
    for _ in range(6):
        await pause_job(engine, job_id)
        await resume_job(engine, job_id)
    sent = await asyncio.gather(Notifier(own, engine).run_once(), Notifier(own, engine).run_once())
    assert sum(sent) == len(receiver.ids) == len(set(receiver.ids)) == 6


async def test_after_a_day_it_is_given_up_and_shown(
    engine: AsyncEngine, own: Settings, receiver: Receiver, job_id: JobId
) -> None:
    receiver.answers = [500]
    await cancel_job(engine, job_id)
    await execute(engine, "UPDATE notification SET created_at = created_at - interval '1 day'")
    await Notifier(own, engine).run_once()
    assert await states(engine, job_id) == [("cancelled", "given_up", 1, "answered 500")]
    await make_due(engine)
    assert await Notifier(own, engine).run_once() == 0


async def test_a_name_is_not_asked_for_a_second_time(receiver: Receiver) -> None:
    # Nobody knows this name: whoever asked for it again, as a rebinding one wants, would not find the receiver.
    url = receiver.url.replace("127.0.0.1", "rebinding.invalid")
    assert await _request(url, ["127.0.0.1"], {}, b"{}") == 200
    assert [each.headers["Host"].partition(":")[0] for each in receiver.received] == ["rebinding.invalid"]


async def test_nobody_is_followed_elsewhere(
    engine: AsyncEngine, own: Settings, receiver: Receiver, job_id: JobId
) -> None:
    with receiving() as elsewhere:
        receiver.answers, receiver.location = [307], elsewhere.url
        await cancel_job(engine, job_id)
        await Notifier(own, engine).run_once()
        assert elsewhere.received == []
    [(_, state, _, detail)] = await states(engine, job_id)
    assert (state, detail) == ("pending", "answered 307, and is not followed elsewhere")


async def test_a_job_names_a_receiver_and_what_it_wants_to_know(
    engine: AsyncEngine, settings: Settings, receiver: Receiver, dataset: str
) -> None:
    allowed = with_receiver(settings, None, private=True)
    job_id = await submit(engine, allowed, make_spec(dataset, notify={"url": receiver.url, "events": ["cancelled"]}))
    await pause_job(engine, job_id)
    await cancel_job(engine, job_id)
    await Notifier(allowed, engine).run_once()
    assert [orjson.loads(each.body)["event"] for each in receiver.received] == ["job.cancelled"]


async def test_a_receiver_inside_is_refused_when_the_job_is_posted(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    spec = make_spec(dataset, notify={"url": NOWHERE})
    with pytest.raises(UnusableReceiver, match="private network"):
        await submit(engine, with_receiver(settings, None), spec)
    with pytest.raises(UnusableReceiver, match="QUESTMILL_WEBHOOK_SECRET"):
        await submit(engine, settings, spec)


async def test_and_again_when_it_is_told(
    engine: AsyncEngine, settings: Settings, receiver: Receiver, dataset: str
) -> None:
    # The name led elsewhere when the job was posted.
    job_id = await submit(
        engine, with_receiver(settings, None, private=True), make_spec(dataset, notify={"url": receiver.url})
    )
    await cancel_job(engine, job_id)
    await Notifier(with_receiver(settings, None), engine).run_once()
    assert receiver.received == []
    [(_, state, _, detail)] = await states(engine, job_id)
    assert (state, "private network" in detail) == ("pending", True)


def test_a_server_without_a_secret_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUESTMILL_WEBHOOK_URL", NOWHERE)
    monkeypatch.delenv("QUESTMILL_WEBHOOK_SECRET", raising=False)
    load_settings.cache_clear()
    try:
        with pytest.raises(InvalidInput, match=r"QUESTMILL_WEBHOOK_SECRET: .*required with"):
            load_settings()
    finally:
        load_settings.cache_clear()
