"""Live progress as server-sent events: one poller per job, however many are watching it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from shared.database.states import UNFINISHED_JOB_STATES
from shared.database.trouble import Trouble, find_trouble, first_line
from shared.errors import NotFound, Unavailable
from shared.ids import JobId

END_ID = "end"
PROGRESS_ID_PREFIX = "p"
RECONNECT_MILLISECONDS = 2000
# What an event says of the job itself.
ABOUT = ("id", "dataset", "state", "reason", "rehearsal", "budget_usd")

ReadJob = Callable[[JobId], Awaitable[Mapping[str, object]]]

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Feed:
    """What the subscribers of one job share."""

    watchers: int = 0
    begun: int = 0  # readings
    done: int = 0
    version: int = 0
    data: str | None = None
    ended: bool = False
    failure: Exception | None = None
    trouble: Trouble | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    read: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    poller: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Let every subscriber look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def tell_read(self) -> None:
        """Let whoever waits for a reading look again."""
        self.read.set()
        self.read = asyncio.Event()


class ProgressHub:
    """Streams of job progress. `read_job` is asked once per `poll_seconds` and job, for all its subscribers.

    Whoever comes is told nothing that was read before: a job that was resumed a moment ago is not paused any more.
    """

    def __init__(self, read_job: ReadJob, *, poll_seconds: float = 1.0, heartbeat_seconds: float = 10.0) -> None:
        self._read_job = read_job
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._feeds: dict[JobId, _Feed] = {}
        self._closing = asyncio.Event()

    @property
    def open_streams(self) -> int:
        """How many subscribers there are now."""
        return sum(feed.watchers for feed in self._feeds.values())

    async def has_ended(self, job_id: JobId) -> bool:
        """Whether the job has ended, from the shared poller. Raises NotFound, or what the database raised."""
        feed = self._attach(job_id)
        try:
            await self._next_reading(feed)
        finally:
            feed.watchers -= 1
        if feed.failure is not None:
            raise feed.failure
        if feed.data is None:
            raise Unavailable("The server is shutting down; connect again in a moment.")
        return feed.ended

    async def stream(self, job_id: JobId) -> AsyncGenerator[bytes]:
        """Progress at once and whenever it changes, a comment when it does not; `end` last, if the job ends."""
        feed = self._attach(job_id)
        sent = 0
        try:
            await self._next_reading(feed)
            while not self._closing.is_set():
                changed = feed.changed
                if sent < feed.version and feed.data is not None:
                    # A slow reader skips what was overtaken: only the newest matters.
                    sent = feed.version
                    yield format_sse_event(
                        event="progress",
                        data_str=feed.data,
                        id=f"{PROGRESS_ID_PREFIX}{sent}",
                        retry=RECONNECT_MILLISECONDS,
                    )
                    continue
                if feed.ended:
                    yield format_sse_event(event="end", data_str=feed.data, id=END_ID)
                    return
                if feed.failure is not None:
                    return
                try:
                    async with asyncio.timeout(self._heartbeat_seconds):
                        await changed.wait()
                except TimeoutError:
                    yield KEEPALIVE_COMMENT
        finally:
            feed.watchers -= 1

    async def close(self) -> None:
        """End all streams now (without `end`: their clients connect again) and stop polling."""
        self._closing.set()
        pollers = [feed.poller for feed in self._feeds.values() if feed.poller is not None]
        for feed in self._feeds.values():
            feed.wake()
            feed.tell_read()
            feed.wanted.set()
        if pollers:
            await asyncio.wait(pollers, timeout=5)

    def _attach(self, job_id: JobId) -> _Feed:
        feed = self._feeds.get(job_id)
        if feed is None:
            feed = self._feeds[job_id] = _Feed()
            feed.poller = asyncio.create_task(self._poll(job_id, feed), name=f"progress of {job_id}")
        feed.watchers += 1
        return feed

    async def _next_reading(self, feed: _Feed) -> None:
        """Wait for a reading that begins from now on; for none when there will be none."""
        wanted = feed.begun + 1
        feed.wanted.set()
        while feed.done < wanted and not (feed.ended or feed.failure is not None or self._closing.is_set()):
            await feed.read.wait()

    async def _poll(self, job_id: JobId, feed: _Feed) -> None:
        try:
            while feed.watchers and not feed.ended and feed.failure is None and not self._closing.is_set():
                feed.wanted.clear()
                feed.begun += 1
                await self._read(job_id, feed)
                feed.done = feed.begun
                feed.tell_read()
                if not feed.ended:
                    await self._pause(feed)
        finally:
            # No await between the last look at `watchers` and this: a newcomer finds this feed alive or not at all.
            self._feeds.pop(job_id, None)
            feed.wake()
            feed.tell_read()

    async def _read(self, job_id: JobId, feed: _Feed) -> None:
        try:
            job = await self._read_job(job_id)
        except NotFound as error:
            if feed.version == 0:
                feed.failure = error
            else:
                feed.ended = True  # deleted with its dataset after it ended
            feed.wake()
            return
        except Exception as error:  # noqa: BLE001 - logged and tried again, or raised for every waiting subscriber
            if feed.version:
                self._note_trouble(job_id, feed, error)
                return
            feed.failure = error
            feed.wake()
            return
        feed.trouble = None
        data = progress_data(job)
        feed.ended = job["state"] not in UNFINISHED_JOB_STATES
        if data != feed.data:
            feed.data = data
            feed.version += 1
            # Only then: who is woken without need begins to wait for the next heartbeat anew, and sends none.
            feed.wake()

    @staticmethod
    def _note_trouble(job_id: JobId, feed: _Feed, error: Exception) -> None:
        trouble = find_trouble(error)
        if trouble is None:
            _log.error("progress not read, trying again", job=str(job_id), exc_info=error)
        elif trouble is not feed.trouble:
            # Once for each trouble: it may last for hours, and we look every second.
            _log.warning(trouble.value, what="progress", job=str(job_id), error=first_line(error))
        feed.trouble = trouble

    async def _pause(self, feed: _Feed) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await feed.wanted.wait()
        except TimeoutError:
            return


def progress_data(job: Mapping[str, object]) -> str:
    """The data of one event: the job's progress, with what identifies the job, its state and its budget beside it."""
    progress = job["progress"]
    assert isinstance(progress, Mapping)
    about = {name: job.get(name) for name in ABOUT}
    return orjson.dumps({**about, **progress}, default=str).decode()


def has_seen_end(last_event_id: str) -> bool:
    """Whether a client that reconnects needs nothing more of an ended job.

    One that was cut off earlier carries the id of a progress event and still gets the last progress and `end`.
    """
    return not last_event_id.startswith(PROGRESS_ID_PREFIX)
