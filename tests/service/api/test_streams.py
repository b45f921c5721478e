"""Progress streams of the API as its own process."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

import httpx2
import pytest

from api.job_shapes import ProgressShape
from tests.service.api.documented import undocumented
from tests.service.api.serving import serving_process

STREAMS = 200
POST_SECONDS = 0.3
MOST_SLOWDOWN = 4

Spec = dict[str, Any]


@pytest.fixture(scope="module")
def api_process(database_url: str, redis_url: str, providers: None) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    with serving_process(database_url, redis_url) as (url, process):
        yield url, process


@pytest.fixture(scope="module")
def api_url(api_process: tuple[str, "subprocess.Popen[bytes]"]) -> str:
    return api_process[0]


def submit(http: httpx2.Client, spec: Spec) -> str:
    return str(http.post("/v1/jobs", json=spec).raise_for_status().headers["Location"])


def read_events(http: httpx2.Client, url: str, last_id: str | None = None) -> list[httpx2.ServerSentEvent]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with http.stream("GET", f"{url}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(httpx2.EventSource(answer))


def test_the_stream_of_an_ended_job_is_its_progress_and_end(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec)
    http.post(f"{url}/cancel").raise_for_status()
    progress, end = read_events(http, url)
    assert (progress.event, end.event) == ("progress", "end")
    data = json.loads(end.data)
    assert data["state"] == "cancelled"
    told = ProgressShape.model_validate(data)
    # With what tells which job it is.
    assert {name for name in undocumented(told) if not name.startswith("ProgressShape.")} == set()
    assert {**http.get(url).json()["progress"]}.items() <= data.items()


def test_a_reconnect_after_the_end_gets_204(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec)
    http.post(f"{url}/cancel").raise_for_status()
    *_, end = read_events(http, url)
    assert http.get(f"{url}/events", headers={"Last-Event-ID": end.id}).status_code == 204


def test_a_client_that_missed_the_end_still_gets_it(http: httpx2.Client, spec: Spec) -> None:
    url = submit(http, spec)
    with http.stream("GET", f"{url}/events") as answer:
        first = next(iter(httpx2.EventSource(answer)))
    http.post(f"{url}/cancel").raise_for_status()
    read_events(http, url)  # another client's: now the API knows that the job has ended
    assert [event.event for event in read_events(http, url, last_id=first.id)] == ["progress", "end"]


def test_a_watched_job_that_ends_ends_its_stream(http: httpx2.Client, api_url: str, spec: Spec) -> None:
    url = submit(http, spec)
    with http.stream("GET", f"{url}/events") as answer, httpx2.Client(base_url=api_url) as other:
        events = iter(httpx2.EventSource(answer))
        assert next(events).event == "progress"
        other.post(f"{url}/cancel").raise_for_status()
        assert [event.event for event in events][-1] == "end"


async def time_posts(http: httpx2.AsyncClient, spec: Spec, name: str) -> float:
    """The middle one of ten, in seconds: the other tests share this machine."""
    took = []
    for number in range(10):
        started = time.perf_counter()
        answer = await http.post("/v1/jobs", json={**spec, "dataset": f"{name}-{number}"})
        took.append(time.perf_counter() - started)
        assert answer.status_code == 202
    return median(took)


async def test_posts_stay_fast_beside_many_streams(http: httpx2.Client, api_url: str, spec: Spec) -> None:
    url = submit(http, spec)
    limits = httpx2.Limits(max_connections=None)
    async with AsyncExitStack() as stack:
        many = await stack.enter_async_context(httpx2.AsyncClient(base_url=api_url, limits=limits, timeout=30))

        async def open_stream() -> AsyncIterator[httpx2.ServerSentEvent]:
            answer = await stack.enter_async_context(many.stream("GET", f"{url}/events"))
            events = aiter(httpx2.EventSource(answer))
            assert (await anext(events)).event == "progress"
            return events

        alone = await time_posts(many, spec, "alone")
        streams = await asyncio.gather(*(open_stream() for _ in range(STREAMS)))
        assert f"questmill_open_streams {STREAMS}.0" in (await many.get("/metrics")).text
        beside = await time_posts(many, spec, "beside")
        assert len(streams) == STREAMS
    async with httpx2.AsyncClient(base_url=api_url, timeout=30) as again:
        alone = max(alone, await time_posts(again, spec, "alone-again"))
    # Where the machine is so busy that a POST alone takes long, what the streams add is what counts.
    assert beside < max(POST_SECONDS, MOST_SLOWDOWN * alone), (alone, beside)


async def test_closed_streams_are_let_go(api_url: str, spec: Spec) -> None:
    async with httpx2.AsyncClient(base_url=api_url, timeout=30) as http:
        async with asyncio.timeout(10):
            # The API is another process: there is no event to wait for.
            while "questmill_open_streams 0.0" not in (await http.get("/metrics")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


# Last: it stops the module's API.
def test_a_stop_ends_open_streams_at_once(
    http: httpx2.Client, api_process: tuple[str, "subprocess.Popen[bytes]"], spec: Spec
) -> None:
    url, process = submit(http, spec), api_process[1]
    with http.stream("GET", f"{url}/events") as answer:
        events = iter(httpx2.EventSource(answer))
        next(events)
        started = time.perf_counter()
        process.terminate()
        assert [event.event for event in events if event.event == "end"] == []
    assert process.wait(10) in {0, -15}
    assert time.perf_counter() - started < 3
