"""A supervisor with real servers and one program of ours, for tests that kill it: `python -m ... FOLDER`.

Prints a line once everything is ready.
"""

import signal
import sys
from pathlib import Path

from local.postgres import EmbeddedPostgres
from local.process import Command
from local.supervisor import Child, Stopped, Supervisor
from local.valkey import EmbeddedValkey


def main(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.prepare()
    valkey = EmbeddedValkey(folder / "valkey")
    supervisor = Supervisor(folder / "logs", lambda _: None)
    with supervisor.handling_signals():
        supervisor.start(
            Child("postgres", postgres.command(), postgres.is_ready, postgres.is_unused, stop_signal=signal.SIGINT),
            Child("valkey", valkey.command(), valkey.is_ready),
        )
        supervisor.start(Child("program", Command(["sleep", "1000"], folder=folder)))
        print("ready", flush=True)
        try:
            supervisor.watch(lambda: False)
        except Stopped:
            supervisor.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
