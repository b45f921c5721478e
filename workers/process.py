"""What one worker process owns, opened once in its loop thread and closed when it ends."""

import asyncio
import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.engine import STALLED_SECONDS, open_engine
from shared.database.reconnect import until_reachable
from shared.database.states import Stage
from shared.database.trouble import first_line
from shared.ids import BatchId
from shared.jobs.models import publish_providers
from shared.jobs.prompt_versions import store_versions
from shared.jobs.worker_reports import WorkerReport, report_worker, withdraw_report
from shared.llm.bulk import BulkProvider
from shared.llm.caller import Caller
from shared.llm.limiter import open_limiter_redis
from shared.llm.provider import Provider
from shared.llm.providers import import_sdks, open_bulk_providers, open_providers
from shared.llm.stop import Stop
from shared.settings import Settings
from workers.admitter import Admitter
from workers.batch import Ending, Workshop, run_batch
from workers.bulk_keeper import BulkKeeper
from workers.drain import is_draining, when_draining
from workers.leases import LeaseKeeper
from workers.loop import LoopThread
from workers.other_keys import OtherKeys

log = structlog.get_logger()

# Admissions take one connection per dataset, ledger rows and claims the others.
POOL_SIZE = 8
PUBLISH_SECONDS = 60.0
REPORT_SECONDS = 15.0
KEEPER_SECONDS = 10.0
REPORT_CLOSE_SECONDS = 2.0
# Live objects that came since the last collection. Python's 700 are reached by every call, whose objects are not in
# cycles and go by themselves: looking through them took a tenth of a worker's CPU time.
NEW_OBJECTS = 50_000


class WorkerProcess:
    """The loop thread with its engine, clients, limiter and leases; the tasks' only door into asyncio."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        import_sdks(settings)
        self._loop = LoopThread(stall_seconds=settings.stall_seconds, heartbeat=settings.heartbeat_file)
        self._stops: set[Stop] = set()
        self._keeping = Stop()
        self._engine: AsyncEngine
        self._redis: Redis
        self._providers: dict[str, Provider]
        self._bulk_providers: dict[str, BulkProvider]
        self._keeper: asyncio.Task[None]
        self._shop: Workshop
        self._background: list[asyncio.Task[None]] = []
        self._loop.run(self._open())
        _collect_rarely()

    def run_batch(self, batch_id: BatchId) -> Ending:
        """Run the batch in the loop; called from a pool thread, blocks it until the batch ends."""
        return self._loop.run(self._run_batch(batch_id))

    def close(self) -> None:
        """Close the clients and connections and end the loop. Call it when no batch runs any more."""
        self._loop.run(self._close())
        self._loop.stop()

    async def _open(self) -> None:
        settings = self._settings
        self._engine = open_engine(
            settings.database_url,
            application="questmill-worker",
            pool_size=POOL_SIZE,
            idle_in_transaction_seconds=STALLED_SECONDS,
            pooled=settings.is_pooled,
        )
        self._providers = open_providers(settings)
        self._bulk_providers = open_bulk_providers(settings)
        self._redis = open_limiter_redis(settings.redis_url)
        caller = Caller(settings, self._engine, self._redis, self._providers)
        leases = LeaseKeeper(self._engine, settings.lease_seconds)
        name = f"{socket.gethostname()}:{os.getpid()}"
        admitter = Admitter(self._engine, template_cap=settings.template_cap)
        self._shop = Workshop(
            settings=settings,
            engine=self._engine,
            caller=caller,
            leases=leases,
            admitter=admitter,
            name=name,
            other_keys=OtherKeys(),
        )
        if is_draining():
            self._keeping.set()
        self._stops.add(self._keeping)
        keeper = BulkKeeper(self._shop, self._bulk_providers)
        self._keeper = asyncio.create_task(keeper.run(self._keeping))
        loop = asyncio.get_running_loop()
        when_draining(lambda: loop.call_soon_threadsafe(self._stop_all))
        self._background = [
            asyncio.create_task(leases.run()),
            asyncio.create_task(self._publish_providers()),
            asyncio.create_task(self._report()),
        ]

    async def _close(self) -> None:
        # It ends by itself between two rounds; one that waits for a provider is cut off, and found again by the next.
        self._keeping.set()
        await asyncio.wait([self._keeper], timeout=KEEPER_SECONDS)
        for task in (self._keeper, *self._background):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for provider in self._providers.values():
            await provider.close()
        for bulk_provider in self._bulk_providers.values():
            await bulk_provider.close()
        await self._shop.caller.close()
        # One whose database is away is forgotten by its silence.
        with suppress(Exception):
            async with asyncio.timeout(REPORT_CLOSE_SECONDS), self._engine.begin() as conn:
                await withdraw_report(conn, self._shop.name)
        await self._redis.aclose()
        await self._engine.dispose()

    async def _run_batch(self, batch_id: BatchId) -> Ending:
        with self._stop_flag() as stop:
            return await run_batch(self._shop, batch_id, stop)

    @contextmanager
    def _stop_flag(self) -> Iterator[Stop]:
        stop = Stop()
        if is_draining():
            stop.set()
        self._stops.add(stop)
        try:
            yield stop
        finally:
            self._stops.discard(stop)

    def _stop_all(self) -> None:
        """Carry the drain flag, which a signal handler sets, to every batch that runs."""
        log.info("draining", batches=len(self._stops - {self._keeping}))
        for stop in self._stops:
            stop.set()

    async def _publish_providers(self) -> None:
        """Tell the API which providers this worker can call, as long as it lives."""

        attempts = 0

        async def publish() -> None:
            nonlocal attempts
            attempts += 1
            async with self._engine.begin() as conn:
                await publish_providers(conn, list(self._providers), rehearsal=self._settings.rehearsal)
                # A worker of a newer release may join in the middle of a job: its rows name its own wording.
                await store_versions(conn, list(Stage))

        while True:
            attempts = 0
            try:
                await until_reachable(publish, what="publish providers")
                self._shop.other_keys.note_told(at_once=attempts == 1)
            except Exception:
                log.exception("providers not published")
            await asyncio.sleep(PUBLISH_SECONDS)

    async def _report(self) -> None:
        """Say what this process does, for /metrics; what cannot be said now is said the next time."""
        while True:
            try:
                async with self._engine.begin() as conn:
                    await report_worker(conn, report_of(self._shop))
            except Exception as error:  # noqa: BLE001 - nothing depends on it
                log.warning("not reported", error=first_line(error))
            await asyncio.sleep(REPORT_SECONDS)


def report_of(shop: Workshop) -> WorkerReport:
    """What the process does now and has done so far."""
    counters = shop.caller.counters
    return WorkerReport(
        name=shop.name,
        batches=sum(map(len, shop.runs.values())),
        calls_in_flight=counters.in_flight,
        calls_started=counters.started,
        turn_wait_seconds=counters.turn_wait_seconds,
        rate_wait_seconds=counters.rate_wait_seconds,
        limiter_failures=shop.caller.limiter_failures,
    )


def _collect_rarely() -> None:
    """Leave out what the start has made, which stays; look through what came since only when that has become much."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
