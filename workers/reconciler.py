"""The reconciler process: `python -m workers.reconciler`. It is the only publisher. Two of them are harmless."""

import asyncio
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import psycopg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.engine import KEEP_ALIVE, STALLED_SECONDS, engine_for, libpq_url
from shared.database.tally import fold_changes
from shared.database.trouble import concerns_all, find_trouble, first_line
from shared.ids import JobId
from shared.jobs.decide import Limits
from shared.jobs.reconcile import (
    WAKE_CHANNEL,
    Publish,
    limits_of,
    look_around,
    reconcile_job,
    send_hints,
)
from shared.llm.ledger import book_unknown
from shared.settings import Settings, load_settings_or_exit
from shared.watchdog import Watchdog
from workers.logs import configure_logs
from workers.notifier import Notifier
from workers.publish import publish_hints

log = structlog.get_logger()

# Several wake-ups within this time lead to one tick.
GATHER_SECONDS = 0.2
# Changes that count are folded this often: a reader adds up what came since.
FOLD_SECONDS = 5.0
# After the database was away, holders have so long to renew their leases: longer than they wait between two tries.
RENEWAL_SECONDS = 5.0
# A job whose step takes longer, because its rows are busy or its cells very large, goes on beside the others. So many
# at once: each has a connection, and one is left.
STEP_SECONDS = 2.0
MOST_SLOW_JOBS = 2


@contextmanager
def kept_apart(what: str) -> Iterator[None]:
    """Log what goes wrong in the block, so that one job does not keep the others waiting; raise what concerns all."""
    try:
        yield
    except Exception as error:
        if concerns_all(error):
            raise
        if find_trouble(error) is None:
            log.exception(what)
        else:
            log.warning(what, error=first_line(error))


class Reconciler:
    """Looks at every unfinished job each tick, and at once when woken."""

    def __init__(self, settings: Settings, engine: AsyncEngine, publish: Publish = publish_hints) -> None:
        self._settings = settings
        self._engine = engine
        self._publish = publish
        self._wake = asyncio.Event()
        self._looked = False
        self._spare_until = 0.0
        self._fold_at = 0.0
        # The steps that are under way, by job.
        self._steps: dict[JobId, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Tick until cancelled. A database that is away costs ticks, nothing else."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(Notifier(self._settings, self._engine).run())
                await self._tick()
        finally:
            await self.stop()

    async def _tick(self) -> None:
        while True:
            try:
                await self.run_once()
            except Exception as error:
                trouble = find_trouble(error)
                if trouble is None:
                    raise
                log.warning(trouble.value, error=first_line(error))
                if concerns_all(error):
                    self._was_away()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._settings.tick_seconds)
                await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()

    async def stop(self) -> None:
        """Break off the steps that are under way: each is a transaction, so nothing of them stays."""
        for step in self._steps.values():
            step.cancel()
        await asyncio.gather(*self._steps.values(), return_exceptions=True)

    async def run_once(self) -> None:
        """One tick: settle what dead workers left in the ledger, then bring each unfinished job a step on."""
        self._under_way()
        # Twice the time-out: by then the call has been settled by its worker or will never be.
        with kept_apart("calls of dead workers not booked"):
            async with self._engine.begin() as conn:
                await book_unknown(conn, older_than_seconds=2 * self._settings.call_timeout_seconds)
        limits = limits_of(self._settings, spare_expired=time.monotonic() < self._spare_until)
        needs = await look_around(self._engine, limits)
        if hinted := await send_hints(self._engine, needs.hints, self._publish):
            log.info("hints repeated", batches=hinted)
        for job_id in needs.jobs:
            await self._take_turn(job_id, limits)
        if time.monotonic() >= self._fold_at:
            self._fold_at = time.monotonic() + FOLD_SECONDS
            # The sums are right all the same, only dearer to read.
            with kept_apart("changes not folded"):
                await fold_changes(self._engine)
        self._looked = True

    async def _take_turn(self, job_id: JobId, limits: Limits) -> None:
        """Bring one job a step on; it is not waited for any longer when it is slow."""
        if job_id in self._steps:
            return
        step = self._steps[job_id] = asyncio.create_task(self._reconcile(job_id, limits))
        await asyncio.wait([step], timeout=STEP_SECONDS)
        while len(self._under_way()) > MOST_SLOW_JOBS:
            await asyncio.wait(self._steps.values(), return_when=asyncio.FIRST_COMPLETED)

    def _under_way(self) -> Collection[JobId]:
        """The jobs whose steps are not done. Raises what has ended one of them and concerns all."""
        for job_id, step in tuple(self._steps.items()):
            if step.done():
                del self._steps[job_id]
                step.result()
        return self._steps

    async def _reconcile(self, job_id: JobId, limits: Limits) -> None:
        with structlog.contextvars.bound_contextvars(job=str(job_id)), kept_apart("job not reconciled"):
            if taken := await reconcile_job(self._engine, job_id, limits, self._publish):
                log.info("reconciled", actions=taken)

    def _was_away(self) -> None:
        """Nobody could renew a lease: what has expired meanwhile is not taken for dead yet."""
        self._spare_until = time.monotonic() + RENEWAL_SECONDS

    async def _listen(self) -> None:
        """Turn NOTIFY into a wake-up. When the connection is lost, ticks still come by the clock."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    libpq_url(self._settings.session_database_url),
                    autocommit=True,
                    application_name="questmill-reconciler-listen",
                    connect_timeout=5,
                    **KEEP_ALIVE,
                ) as connection:
                    await connection.execute(f"LISTEN {WAKE_CHANNEL}".encode())
                    while True:
                        async for _ in connection.notifies(timeout=self._settings.tick_seconds):
                            self._wake.set()
                        await self._show_life(connection)
            except (psycopg.OperationalError, OSError) as error:
                log.warning("not listening", error=first_line(error))
                self._was_away()
            await asyncio.sleep(self._settings.tick_seconds)

    async def _show_life(self, connection: psycopg.AsyncConnection) -> None:
        """Use our own session once a tick was done: /metrics and doctor see when it was last used.

        Those of the ticks may be a pooler's, which lends them to others.
        """
        if self._looked:
            self._looked = False
            await connection.execute("SELECT 1")


async def main() -> None:
    """Run until SIGINT or SIGTERM."""
    settings = load_settings_or_exit()
    configure_logs(settings)
    loop = asyncio.get_running_loop()
    with Watchdog("reconciler", loop, patience_seconds=settings.stall_seconds, heartbeat=settings.heartbeat_file):
        async with engine_for(
            settings.database_url,
            application="questmill-reconciler",
            pool_size=3,
            idle_in_transaction_seconds=STALLED_SECONDS,
            pooled=settings.is_pooled,
        ) as engine:
            running = asyncio.create_task(Reconciler(settings, engine).run())
            for each in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(each, running.cancel)
            log.info("reconciler started", tick_seconds=settings.tick_seconds)
            with suppress(asyncio.CancelledError):
                await running
    log.info("reconciler stopped")


if __name__ == "__main__":
    asyncio.run(main())
