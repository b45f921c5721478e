"""Prometheus metrics of this process and its requests; api/system_metrics.py adds those of the whole system."""

import time
from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.system_metrics import Servers, SystemCollector
from api.wire import method_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry per app, so that two apps in a process do not share counters."""

    def __init__(self, open_streams: Callable[[], int], system: SystemCollector) -> None:
        self._registry = CollectorRegistry()
        self._system = system
        self._registry.register(system)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = Counter(
            "questmill_http_requests",
            "Answered requests.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "questmill_http_seconds",
            "Time to the first byte of the answer.",
            ["method", "route"],
            registry=self._registry,
        )
        streams = Gauge("questmill_open_streams", "Progress streams that are open now.", registry=self._registry)
        streams.set_function(lambda: float(open_streams()))

    async def render(self) -> bytes:
        """All metrics in the text format; those of the system are read for it."""
        await self._system.refresh()
        return generate_latest(self._registry)

    async def render_servers(self) -> bytes:
        """No more than /readyz tells everybody, for somebody whose key could not be looked up in the database."""
        registry = CollectorRegistry()
        registry.register(Servers(database_up=False, broker_up=await self._system.is_broker_up()))
        return generate_latest(registry)


class CountRequests:
    """ASGI middleware: counts answers by route template, never by raw path (ids would make endless series)."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, method, answered = time.perf_counter(), method_of(scope), False

        def count(status: int) -> None:
            nonlocal answered
            answered = True
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - started)

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counting_send)
        except Exception:
            # Of a bug: it is answered outside of all middleware.
            if not answered:
                count(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise
