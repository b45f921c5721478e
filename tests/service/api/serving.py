"""The real API over real HTTP: in a thread of this process, or as the process that `./run up` starts."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import httpx2
import uvicorn

from api.__main__ import Server
from api.app import create_app
from api.wire import WIRE
from local.process import free_port
from shared.settings import Settings
from tests.faults.patience import Patience

ROOT = Path(__file__).parents[3]
START_SECONDS = 90
STOP_SECONDS = 15


def api_settings(database_url: str, redis_url: str, **more: object) -> Settings:
    return Settings.model_validate({"database_url": database_url, "redis_url": redis_url, **more})


@contextmanager
def serving(settings: Settings, *, look_again_seconds: float | None = None) -> Iterator[str]:
    """The API in a thread; yields its address."""
    app = create_app(settings)
    if look_again_seconds is not None:
        app.state.guard.look_again_seconds = look_again_seconds
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, log_level="warning", **WIRE)
        server = Server(config, app.state.services.hub)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until_alive(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)
            assert not thread.is_alive()


@contextmanager
def serving_process(
    database_url: str, redis_url: str, *, log: Path | None = None, **more: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The API as its own process, with `more` in its environment; yields its address and the process."""
    port = free_port()
    environment = process_environment(database_url, redis_url, QUESTMILL_API_PORT=str(port), **more)
    with log.open("wb") if log else nullcontext() as file:
        process = subprocess.Popen([sys.executable, "-m", "api"], env=environment, cwd=ROOT, stdout=file, stderr=file)
    try:
        wait_until_alive(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def process_environment(database_url: str, redis_url: str, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        **more,
    }


def wait_until_alive(url: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
    patience = Patience(START_SECONDS)
    while True:
        assert process is None or process.poll() is None, "the API did not start"
        try:
            httpx2.get(f"{url}/healthz", timeout=5).raise_for_status()
        except httpx2.TransportError:
            if patience.is_over():
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def silent_server() -> Iterator[int]:
    """A port whose connections are made by the kernel and never answered, as of a frozen (SIGSTOP) process."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=128)) as listener:
        yield listener.getsockname()[1]
