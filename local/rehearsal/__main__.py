"""`python -m local.rehearsal`: serves until SIGINT or SIGTERM."""

import asyncio
import signal
import sys

import uvloop
from aiohttp import web

from local.rehearsal.application import make_application
from local.rehearsal.config import RehearsalConfig, read_config
from local.rehearsal.grammar import warm_up

GRACE_SECONDS = 2.0


async def serve(config: RehearsalConfig) -> None:
    """Serve until told to stop; then answers in flight have two seconds, and the record is written out.

    Raises OSError when the address is taken.
    """
    warm_up()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(make_application(config), access_log=None, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, backlog=1024).start()
        host, port = runner.addresses[0][:2]
        print(f"Rehearsal model server on http://{host}:{port} (plays no real model)", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Run the server; 1 when it cannot listen."""
    config = read_config()
    try:
        uvloop.run(serve(config))
    except OSError as error:
        print(f"The rehearsal server cannot listen on {config.host}:{config.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
