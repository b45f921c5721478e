"""FAULTS 2 and 16: what the API says while Postgres is away, frozen, crowded or restarting, and how it recovers.

A Postgres of this module's own, for it is struck. What a full disk does, tests/faults/test_disk_full.py shows.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2
import psycopg
import pytest
from alembic import command

import api.services
from local.postgres import EmbeddedPostgres
from local.process import start_tethered
from shared.database.schema import alembic_config
from tests.service.api.serving import api_settings, serving
from tests.service.api.test_problems import check_problem
from tests.service.api.waits import answers_within

PATIENCE_SECONDS = 1.0
Spec = dict[str, Any]


@dataclass
class Server:
    """A Postgres that can be struck."""

    postgres: EmbeddedPostgres
    process: "subprocess.Popen[bytes]" = field(init=False)

    @property
    def url(self) -> str:
        return self.postgres.url("postgres")

    def start(self) -> None:
        self.process = start_tethered(self.postgres.command(), self.postgres.folder / "log")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while not self.postgres.is_ready():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)
        self.process.wait(30)
        while not self.postgres.is_unused():
            time.sleep(0.02)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        pids = self.postgres._processes()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("struck"), durable=False)
    postgres.prepare()
    struck = Server(postgres)
    struck.start()
    try:
        prepare_database(struck.url)
        yield struck
    finally:
        struck.stop()


def prepare_database(url: str) -> None:
    config = alembic_config(url)
    command.upgrade(config, "head")
    with psycopg.connect(url) as conn:
        # Written before the first test strikes: this server forgets what it committed a moment ago.
        conn.execute("SET synchronous_commit = on")
        conn.execute("INSERT INTO provider (name, rehearsal, seen_at) VALUES ('openai', true, now())")


@pytest.fixture(scope="module")
def http(server: Server, redis_url: str) -> Iterator[httpx2.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.services, "ORDINARY_PATIENCE_SECONDS", PATIENCE_SECONDS)
        yield from serve(server, redis_url)


def serve(server: Server, redis_url: str) -> Iterator[httpx2.Client]:
    with serving(api_settings(server.url, redis_url)) as url, httpx2.Client(base_url=url, timeout=30) as client:
        yield client


def check_refusals(http: httpx2.Client, spec: Spec, words: str, *, seconds: float = 1.0) -> None:
    for method, path, body in (("GET", "/v1/jobs", None), ("POST", "/v1/jobs", spec), ("GET", "/v1/datasets", None)):
        for answer in answers_within(seconds, partial(http.request, method, path, json=body)):
            problem = check_problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
            assert words in problem["detail"]
            assert ("Idempotency-Key" in problem["detail"]) == (method == "POST")


def check_readyz(http: httpx2.Client, status: int, words: str) -> None:
    first, *others = answers_within(1, lambda: http.get("/readyz"))
    assert words in first.json()["database"]
    for answer in (first, *others):
        assert answer.status_code == status, answer.text


def check_recovered(http: httpx2.Client, spec: Spec) -> None:
    """At the first try: nobody is told of a fault that is over."""
    assert http.get("/v1/jobs").status_code == 200
    answer = http.post("/v1/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    check_readyz(http, 200, "ok")


def warm_up(http: httpx2.Client) -> None:
    """Several pooled connections."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: http.get("/v1/datasets").raise_for_status(), range(8)))
    check_readyz(http, 200, "ok")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_absent_postgres_is_named_and_its_return_is_noticed_at_once(
    server: Server, http: httpx2.Client, spec: Spec, number: signal.Signals
) -> None:
    warm_up(http)
    server.stop(number)
    try:
        check_refusals(http, spec, "cannot be reached")
        check_readyz(http, 503, "away: ")
    finally:
        server.start()
    check_recovered(http, spec)


def test_a_restart_that_nobody_saw_fails_no_request(server: Server, http: httpx2.Client, spec: Spec) -> None:
    warm_up(http)
    server.stop(signal.SIGQUIT)
    server.start()
    check_recovered(http, spec)


def test_a_frozen_postgres_is_given_up_in_time(server: Server, http: httpx2.Client, spec: Spec) -> None:
    warm_up(http)
    with server.frozen():
        check_readyz(http, 503, "no answer")
        check_refusals(http, spec, "does not answer", seconds=PATIENCE_SECONDS + 1)
        check_readyz(http, 503, "no ")
    check_recovered(http, spec)


def test_a_crowded_postgres_says_so(server: Server, http: httpx2.Client, spec: Spec) -> None:
    warm_up(http)
    with psycopg.connect(server.url, autocommit=True) as admin:
        # Nobody else's limit, and so not the one of all: the words of the refusal are another's, the code is the same.
        admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain' CONNECTION LIMIT 1")
    plain = f"postgresql://plain:plain@{server.url.rpartition('@')[2]}"
    with (
        psycopg.connect(plain),
        serving(api_settings(plain, "redis://127.0.0.1:1/0")) as url,
        httpx2.Client(base_url=url, timeout=30) as other,
    ):
        check_refusals(other, spec, "takes no more connections")
        check_readyz(other, 503, "takes no more connections")


def test_a_starting_postgres_says_so(server: Server, http: httpx2.Client, spec: Spec) -> None:
    # Until its last client has gone, a smart shutdown refuses new ones: 57P03, as while it starts.
    with serving(api_settings(server.url, "redis://127.0.0.1:1/0")) as url, httpx2.Client(base_url=url) as other:
        with psycopg.connect(server.url):
            server.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 5
            while server.postgres.is_ready():
                assert time.monotonic() < deadline
            check_refusals(other, spec, "starting or stopping")
        server.stop()
        server.start()
        check_recovered(other, spec)


def test_a_stream_outlives_a_restart(server: Server, http: httpx2.Client, spec: Spec) -> None:
    url = http.post("/v1/jobs", json=spec).raise_for_status().headers["Location"]
    with http.stream("GET", f"{url}/events") as answer, httpx2.Client(base_url=http.base_url) as other:
        events = iter(httpx2.EventSource(answer))
        assert next(events).event == "progress"
        server.stop()
        time.sleep(1.5)  # the hub looks every second
        server.start()
        other.post(f"{url}/cancel").raise_for_status()
        assert [(event.event, json.loads(event.data)["state"]) for event in events][-1] == ("end", "cancelled")


def test_a_stream_outlives_a_freeze(server: Server, http: httpx2.Client, spec: Spec) -> None:
    url = http.post("/v1/jobs", json=spec).raise_for_status().headers["Location"]
    with http.stream("GET", f"{url}/events") as answer, httpx2.Client(base_url=http.base_url) as other:
        events = iter(httpx2.EventSource(answer))
        assert next(events).event == "progress"
        with server.frozen():
            time.sleep(PATIENCE_SECONDS + 2)  # longer than the reader waits for an answer
        other.post(f"{url}/cancel").raise_for_status()
        assert [(event.event, json.loads(event.data)["state"]) for event in events][-1] == ("end", "cancelled")


def test_many_requests_to_a_frozen_postgres_are_all_answered_soon(server: Server, http: httpx2.Client) -> None:
    warm_up(http)
    took: list[float] = []
    lock = threading.Lock()

    def ask(_: int) -> None:
        began = time.monotonic()
        check_problem(http.get("/v1/jobs"), 503)
        with lock:
            took.append(time.monotonic() - began)

    with server.frozen(), ThreadPoolExecutor(30) as pool:
        list(pool.map(ask, range(30)))
    assert max(took) < 3 * PATIENCE_SECONDS + 2, took  # ten at once, the size of the pool
