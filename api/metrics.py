"""Prometheus metrics of this process and its requests; api/system_metrics.py adds those of the whole system."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.system_metrics import SystemCollector
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
        started, method = time.perf_counter(), method_of(scope)

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.requests.labels(method, route, message["status"]).inc()
                self._metrics.seconds.labels(method, route).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, counting_send)
