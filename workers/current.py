"""The process's own WorkerProcess, and the Celery signals that open, drain and close it."""

from typing import Any

from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down

from shared.settings import load_settings
from shared.tracing import configure_tracing
from workers.drain import start_draining
from workers.logs import configure_logs
from workers.process import WorkerProcess

_current: WorkerProcess | None = None


def worker_process() -> WorkerProcess:
    """The running process's door into asyncio."""
    if _current is None:
        raise RuntimeError("tasks run only inside a Celery worker")
    return _current


@setup_logging.connect
def _configure_logs(**_: Any) -> None:
    configure_logs(load_settings())


@worker_init.connect
def _open(**_: Any) -> None:
    global _current  # noqa: PLW0603 - one per process, by Celery's life cycle
    configure_tracing(load_settings(), "worker")
    _current = WorkerProcess(load_settings())


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    start_draining()


@worker_shutdown.connect
def _close(**_: Any) -> None:
    global _current  # noqa: PLW0603 - as above
    if _current is not None:
        _current.close()
        _current = None
