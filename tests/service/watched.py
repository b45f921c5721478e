"""`python -m tests.service.watched SCENE PATIENCE_SECONDS [HEARTBEAT]`: a process under the watchdog."""

import asyncio
import hashlib
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from shared.settings import Settings
from shared.watchdog import Watchdog
from workers.logs import configure_logs

# Of all threads together; more than twice the patience of its test.
BUSY_CPU_SECONDS = 2.2


def sleep_for_ever() -> None:
    time.sleep(1000)


def sleep_a_little() -> None:
    time.sleep(1.2)


def run_away() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def write_to_nobody() -> None:
    while True:
        logging.getLogger("watched").warning("x" * 4096)


async def compute_beside() -> None:
    end = time.process_time() + BUSY_CPU_SECONDS

    def compute() -> None:
        while time.process_time() < end:
            hashlib.sha256(bytes(20_000_000))

    await asyncio.gather(*(asyncio.to_thread(compute) for _ in range(2)))


async def live_until_told() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), told.set)
    await told.wait()


BLOCKS: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (sleep_for_ever, sleep_a_little, run_away, write_to_nobody)
}


async def main(scene: str, patience_seconds: float, heartbeat: Path | None) -> None:
    loop = asyncio.get_running_loop()
    with Watchdog("watched", loop, patience_seconds=patience_seconds, heartbeat=heartbeat):
        await asyncio.sleep(0.1)
        print("ready", flush=True)
        if scene in BLOCKS:
            BLOCKS[scene]()
        elif scene == "run_away_elsewhere":
            threading.Thread(target=run_away).start()
            await asyncio.sleep(1000)
        elif scene == "compute_beside":
            await compute_beside()
        elif scene == "live_until_told":
            await live_until_told()
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


if __name__ == "__main__":
    configure_logs(Settings())
    heartbeat_file = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), heartbeat_file))
