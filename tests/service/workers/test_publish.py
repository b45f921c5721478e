import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from local.process import free_port
from shared.database.states import Stage
from shared.ids import new_batch_id
from shared.jobs.hint_names import task_id_of
from shared.jobs.reconcile import HintMessage
from tests.service.api.serving import silent_server
from workers.app import QUEUE, app
from workers.publish import SOCKET_SECONDS, publish_hints


def messages(count: int) -> list[HintMessage]:
    return [HintMessage(new_batch_id(), Stage.GENERATE, f"set math/easy #{n:04}, 400 questions") for n in range(count)]


@contextmanager
def broker_at(url: str) -> Iterator[None]:
    """Celery's application on another broker."""
    before = app.conf.broker_url, app.conf.broker_write_url
    app.conf.update(broker_url=url, broker_write_url=url)
    try:
        yield
    finally:
        app.conf.update(broker_url=before[0], broker_write_url=before[1])


async def test_hints_reach_the_queue_in_order_with_the_batchs_id(redis_url: str) -> None:
    hints = messages(3)
    with broker_at(redis_url):
        assert await publish_hints(hints) == [hint.batch_id for hint in hints]
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        queued = client.lrange(QUEUE, 0, -1)
        client.delete(QUEUE)
    assert isinstance(queued, list)
    assert len(queued) == 3
    # The newest is on the left; workers take from the right.
    for body, hint in zip(reversed(queued), hints, strict=True):
        assert task_id_of(hint.batch_id, hint.label) in body
        assert hint.label in body


async def test_a_frozen_broker_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SOCKET_SECONDS <= 2
    monkeypatch.setattr("workers.publish.SOCKET_SECONDS", 0.2)
    with silent_server() as port, broker_at(f"redis://127.0.0.1:{port}/0"):
        began = time.monotonic()
        async with asyncio.timeout(15):
            assert await publish_hints(messages(50)) == []
        assert time.monotonic() - began < 2


async def test_a_broker_that_is_away_takes_nothing() -> None:
    with broker_at(f"redis://127.0.0.1:{free_port()}/0"):
        assert await publish_hints(messages(3)) == []
