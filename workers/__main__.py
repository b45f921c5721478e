"""`python -m workers`: one worker process, which joins by DATABASE_URL and REDIS_URL and starts nothing else."""

import argparse
import os
import socket
import warnings

from celery.exceptions import SecurityWarning

from shared.settings import load_settings_or_exit


def main() -> None:
    """Start the Celery worker: a pool of threads, one loop, `--concurrency` calls in flight."""
    parser = argparse.ArgumentParser(prog="./run worker", description="Join a running Questmill with one more worker.")
    parser.add_argument(
        "--concurrency", type=int, default=None, metavar="N", help="calls in flight at most (default 64)"
    )
    arguments = parser.parse_args()
    if arguments.concurrency is not None:
        if arguments.concurrency < 1:
            parser.error("--concurrency must be at least 1")
        os.environ["QUESTMILL_CALLS_IN_FLIGHT"] = str(arguments.concurrency)
    settings = load_settings_or_exit()
    # Celery warns of root because of pickle, which is not accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    import workers.tasks  # noqa: F401 - registers the tasks
    from workers.app import QUEUE, app

    app.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={settings.batches_at_once}",
            f"--queues={QUEUE}",
            f"--hostname=questmill-{os.getpid()}@{socket.gethostname()}",
            "--without-mingle",
            "--without-gossip",
        ]
    )


if __name__ == "__main__":
    main()
