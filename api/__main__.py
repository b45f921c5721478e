"""`python -m api`: serve the API until SIGINT or SIGTERM."""

import asyncio
import socket
import sys

import uvicorn

from api.app import create_app
from api.progress_stream import ProgressHub
from api.start import why_refused
from api.wire import WIRE
from shared.errors import InvalidInput
from shared.settings import load_settings
from shared.tracing import configure_tracing

# Requests in flight get this long after a signal; open streams are ended at once.
SHUTDOWN_SECONDS = 10


class Server(uvicorn.Server):
    """uvicorn, which by itself would wait for open progress streams until its time-out."""

    def __init__(self, config: uvicorn.Config, hub: ProgressHub) -> None:
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End open streams first, then wait for the other requests."""
        await self._hub.close()
        await super().shutdown(sockets)


def main() -> None:
    """Serve on the host and port of the settings; ends with 2 and a sentence where that is refused."""
    try:
        settings = load_settings()
        why = asyncio.run(why_refused(settings))
    except InvalidInput as error:
        why = error.detail
    if why is not None:
        print(why, file=sys.stderr)
        sys.exit(2)
    configure_tracing(settings, "api")
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_level=settings.log_level.lower(),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **WIRE,
    )
    Server(config, app.state.services.hub).run()


if __name__ == "__main__":
    main()
