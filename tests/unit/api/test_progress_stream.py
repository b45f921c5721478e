import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from api.progress_stream import ProgressHub, has_seen_end
from shared.errors import NotFound
from shared.ids import JobId, new_job_id

JOB_ID = new_job_id()


class Job:
    """A job whose progress the test sets; counts how often it is read."""

    def __init__(self) -> None:
        self.selected = 0
        self.state = "running"
        self.reads = 0
        self.failure: Exception | None = None
        self.failed = asyncio.Event()

    async def read(self, job_id: JobId) -> Mapping[str, Any]:
        self.reads += 1
        if self.failure is not None:
            self.failed.set()
            raise self.failure
        about = {"id": str(job_id), "dataset": "d", "state": self.state, "reason": None}
        return {**about, "progress": {"selected": self.selected}}


def hub_of(job: Job, *, poll_seconds: float = 0.01, heartbeat_seconds: float = 10) -> ProgressHub:
    return ProgressHub(job.read, poll_seconds=poll_seconds, heartbeat_seconds=heartbeat_seconds)


async def next_of(stream: AsyncIterator[bytes]) -> str:
    async with asyncio.timeout(5):
        return (await anext(stream)).decode()


async def rest_of(stream: AsyncIterator[bytes]) -> list[str]:
    async with asyncio.timeout(5):
        return [frame.decode() async for frame in stream]


async def test_the_stream_shows_changes_and_ends_with_end() -> None:
    job = Job()
    stream = hub_of(job).stream(JOB_ID)
    assert '"selected":0' in await next_of(stream)
    job.selected = 5
    assert '"selected":5' in await next_of(stream)
    job.selected, job.state = 9, "succeeded"
    *_, progress, end = await rest_of(stream)
    assert progress.startswith("event: progress\n")
    assert end.startswith("event: end\n")
    assert '"selected":9' in end
    assert "id: end\n" in end


async def test_many_streams_cost_one_reader() -> None:
    job = Job()
    hub = hub_of(job, poll_seconds=60)
    streams = [hub.stream(JOB_ID) for _ in range(200)]
    await asyncio.gather(*(next_of(stream) for stream in streams))
    assert job.reads == 1
    assert hub.open_streams == 200
    await hub.close()


async def test_whoever_comes_later_is_told_nothing_of_before() -> None:
    job = Job()
    job.state = "paused"
    hub = hub_of(job, poll_seconds=60)
    first = hub.stream(JOB_ID)
    assert '"state":"paused"' in await next_of(first)
    job.state = "running"
    assert '"state":"running"' in await next_of(hub.stream(JOB_ID))
    assert '"state":"running"' in await next_of(first)
    job.state = "cancelled"
    assert await hub.has_ended(JOB_ID)
    assert job.reads == 3


async def test_closing_ends_all_streams_without_end() -> None:
    hub = hub_of(Job(), poll_seconds=60)
    streams = [hub.stream(JOB_ID) for _ in range(3)]
    await asyncio.gather(*(next_of(stream) for stream in streams))
    waiting = [asyncio.create_task(rest_of(stream)) for stream in streams]
    await hub.close()
    assert await asyncio.gather(*waiting) == [[], [], []]


async def test_the_reader_stops_when_nobody_watches() -> None:
    job = Job()
    hub = hub_of(job)
    stream = hub.stream(JOB_ID)
    await next_of(stream)
    await stream.aclose()
    poller = next(task for task in asyncio.all_tasks() if task.get_name() == f"progress of {JOB_ID}")
    await asyncio.wait_for(poller, 5)
    assert hub.open_streams == 0


async def test_a_quiet_stream_is_kept_alive() -> None:
    """Also by a reader that looks much more often than that."""
    stream = hub_of(Job(), poll_seconds=0.001, heartbeat_seconds=0.1).stream(JOB_ID)
    await next_of(stream)
    assert await next_of(stream) == ": ping\n\n"


async def test_a_stream_outlives_an_absent_database() -> None:
    job = Job()
    stream = hub_of(job).stream(JOB_ID)
    await next_of(stream)
    job.failure = OperationalError("SELECT", {}, Exception("gone"))
    async with asyncio.timeout(5):
        await job.failed.wait()
    job.failure, job.selected = None, 3
    assert '"selected":3' in await next_of(stream)


async def test_an_unknown_job_is_not_streamed() -> None:
    job = Job()
    job.failure = NotFound("no such job")
    with pytest.raises(NotFound):
        await hub_of(job).has_ended(JOB_ID)


async def test_a_job_deleted_while_it_is_watched_ends_its_streams() -> None:
    job = Job()
    stream = hub_of(job).stream(JOB_ID)
    await next_of(stream)
    job.failure = NotFound("no such job")
    assert (await rest_of(stream))[-1].startswith("event: end\n")


def test_only_a_client_that_has_not_seen_the_end_is_told_again() -> None:
    assert has_seen_end("end")
    assert not has_seen_end("p17")
