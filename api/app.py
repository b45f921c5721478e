"""The FastAPI app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware import Middleware

from api.access import Guard
from api.metrics import CountRequests, Metrics
from api.openapi import install_openapi
from api.problems import install_problem_handlers
from api.progress_stream import ProgressHub
from api.readiness import ReadinessCheck
from api.routes import (
    contamination,
    dashboard,
    datasets,
    health,
    jobs,
    plans,
    prompts,
    public_settings,
    questions,
    rate_limits,
    reparse,
    retention,
    samples,
    session,
)
from api.safe_headers import SendSafeHeaders
from api.security import RefuseForeignOrigin, own_names
from api.services import Services
from api.system_metrics import SystemCollector
from api.traced import TraceRequests
from api.wire import RefuseAmbiguousLength
from shared.database.engine import open_engine
from shared.jobs.plan import warm_up
from shared.jobs.progress import read_job
from shared.jobs.system_sums import read_system_sums
from shared.llm.limiter import open_limiter_redis
from shared.settings import Settings
from shared.watchdog import Watchdog

# With one of ReadinessCheck's, what docs/deployment.md says that an API takes.
CONNECTIONS = 10
BULK_CONNECTIONS = 5


def create_app(settings: Settings) -> FastAPI:
    """The API on the settings' database and broker. It publishes nothing and holds no provider key."""
    settings = settings.model_copy(update={"openai_api_key": None, "anthropic_api_key": None, "api_key": None})
    engine, bulk_engine = (
        open_engine(settings.database_url, application=name, pool_size=size, pooled=settings.is_pooled)
        for name, size in (("questmill-api", CONNECTIONS), ("questmill-api-bulk", BULK_CONNECTIONS))
    )
    hub = ProgressHub(partial(read_job, engine))
    redis = open_limiter_redis(settings.redis_url)
    readiness = ReadinessCheck(settings)
    system = SystemCollector(partial(read_system_sums, engine), readiness.is_broker_up)
    guard = Guard(engine, redis, required=settings.keys_required)
    metrics = Metrics(open_streams=lambda: hub.open_streams, system=system)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with Watchdog("api", asyncio.get_running_loop(), patience_seconds=settings.stall_seconds):
            await asyncio.to_thread(warm_up, settings)
            try:
                yield
            finally:
                await hub.close()
                await guard.close()
                await readiness.close()
                await redis.aclose()
                await engine.dispose()
                await bulk_engine.dispose()

    app = FastAPI(
        title="Questmill",
        version="1",
        description="Makes training questions with LLMs: exactly as many of each kind as asked, never one twice.",
        lifespan=lifespan,
        redirect_slashes=False,
        # Their pages load scripts from a foreign host.
        docs_url=None,
        openapi_url=None,  # as a route of ours
        redoc_url=None,
        middleware=[
            Middleware(SendSafeHeaders),
            Middleware(CountRequests, metrics=metrics),
            Middleware(TraceRequests),
            Middleware(RefuseAmbiguousLength),
            Middleware(RefuseForeignOrigin, names=own_names(settings), keys_required=settings.keys_required),
        ],
    )
    app.state.services = Services(settings, engine, bulk_engine, hub, redis, readiness, metrics)
    app.state.guard = guard
    install_problem_handlers(app)
    install_openapi(app, keys_required=settings.keys_required)
    about_datasets, about_jobs = (datasets, contamination, questions, samples), (plans, jobs, reparse, prompts)
    for routes in (*about_jobs, *about_datasets, retention, public_settings, rate_limits, session, health, dashboard):
        app.include_router(routes.router)
    return app
