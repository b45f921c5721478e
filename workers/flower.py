"""`python -m workers.flower`: Flower as this system runs it. It shows, remembers and asks who is there; no more."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.errors import InvalidInput
from shared.settings import Settings, is_loopback, load_settings

# The arguments' text names the batch: "phase1 math/hard #0005, 40 questions".
COLUMNS = ("args", "state", "received", "runtime", "worker", "name", "uuid")
# Of a batch: about twenty calls, side by side within the limits. Flower's own end at ten seconds.
RUNTIME_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
# What is saved is what a person may still look for; saving them takes well under a second.
MOST_TASKS = 20_000
SAVE_SECONDS = 60


def why_refused(settings: Settings) -> str | None:
    """Why Flower may not be started so; None when it may. Whoever reaches it sees every task."""
    reached_at = settings.flower_published_host or settings.flower_host
    if settings.flower_auth is not None:
        # An empty password would be an open door.
        auth = settings.flower_auth.get_secret_value()
        pairs = (pair.partition(":") for pair in auth.split(","))
        # Of other characters Flower lets nobody in, not even with the right password.
        if auth.isascii() and all(user and password for user, _, password in pairs):
            return None
        return "QUESTMILL_FLOWER_AUTH: write user:password in ASCII, several separated by commas"
    if is_loopback(reached_at):
        return None
    return f"Flower would be open to everybody who reaches {reached_at}: set QUESTMILL_FLOWER_AUTH=user:password"


def flower_arguments(settings: Settings) -> list[str]:
    """Flower's command line, which everybody on the machine can read: no password in it."""
    return [
        *("-A", "workers.flower_app", "flower"),
        f"--address={settings.flower_host}",
        f"--port={settings.flower_port}",
        f"--tasks_columns={','.join(COLUMNS)}",
        f"--task_runtime_metric_buckets={','.join(map(str, RUNTIME_BUCKETS))}",
        "--read_only=True",  # who steers does so through the API, whose keys have scopes
        "--persistent=True",
        f"--db={database_path(settings.home)}",
        f"--state_save_interval={SAVE_SECONDS * 1000}",
        f"--max_tasks={MOST_TASKS}",
    ]


def database_path(home: Path) -> Path:
    """Where Flower keeps what it saw."""
    return home.absolute() / "flower"


def main(given: Sequence[str]) -> None:
    """Become Flower; ends with 2 and a sentence where that is refused."""
    try:
        settings = load_settings()
        why = why_refused(settings)
    except InvalidInput as error:
        why = error.detail
    if why is not None:
        print(why, file=sys.stderr)
        sys.exit(2)
    settings.home.mkdir(parents=True, exist_ok=True)
    if settings.flower_auth is not None:
        os.environ["FLOWER_BASIC_AUTH"] = settings.flower_auth.get_secret_value()
    command = [sys.executable, "-m", "celery", *flower_arguments(settings), *given]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter; no shell


if __name__ == "__main__":
    main(sys.argv[1:])
