"""Flower as a process: it remembers across restarts, asks for the password, and changes nothing."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from celery import Celery

from local.process import free_port

ROOT = Path(__file__).parents[3]


@contextmanager
def flower(redis_url: str, home: Path) -> Iterator[httpx2.Client]:
    port = free_port()
    told = {"REDIS_URL": redis_url, "QUESTMILL_HOME": str(home), "QUESTMILL_FLOWER_PORT": str(port)}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "QUESTMILL_FLOWER_AUTH": "me:secret", **told}
    process = subprocess.Popen([sys.executable, "-m", "workers.flower"], env=environment, cwd=ROOT)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", auth=("me", "secret")) as client:
            wait_for(lambda: client.get("/healthcheck").status_code == 200)
            yield client
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def watching(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with flower(redis_url, tmp_path_factory.mktemp("flower")) as client:
        yield client


def wait_for(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if happens():
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_remembers_across_a_restart_and_asks_who_is_there(redis_url: str, tmp_path: Path) -> None:
    app = Celery("a test", broker=redis_url)
    with flower(redis_url, tmp_path) as client:
        assert httpx2.get(client.base_url).status_code == 401

        def is_seen() -> bool:
            with app.events.default_dispatcher() as dispatcher:
                dispatcher.send("task-sent", uuid="seen-0001", name="questmill.generate", args="seen", kwargs="{}")
            return client.get("/task/seen-0001").status_code == 200

        wait_for(is_seen)
    with flower(redis_url, tmp_path) as client:
        assert client.get("/task/seen-0001").status_code == 200
        assert client.get("/task/never").status_code == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/workers", "/tasks"])
def test_nothing_is_told_without_the_password(watching: httpx2.Client, path: str) -> None:
    assert httpx2.get(watching.base_url.join(path)).status_code == 401
    assert watching.get(path, follow_redirects=True).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            f"worker/{what}/celery@x"
            for what in ("shutdown", "pool/restart", "pool/grow", "pool/shrink", "pool/autoscale")
        ),
        *(f"worker/queue/{what}-consumer/celery@x" for what in ("add", "cancel")),
        *(
            f"task/{what}/x"
            for what in ("apply", "async-apply", "send-task", "abort", "timeout", "rate-limit", "revoke")
        ),
    ],
)
def test_nothing_can_be_changed_by_it(watching: httpx2.Client, path: str) -> None:
    answer = watching.post(f"/api/{path}")
    assert answer.status_code == 403
    assert "read only" in answer.text.lower()
