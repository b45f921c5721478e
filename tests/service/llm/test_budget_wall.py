"""Promise 5 as a property: with many jobs, workers and calls in flight, no look sees more spent and held than may be.

Each seed is 10 jobs with random budgets; a seed that fails is in the message.
"""

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.engine import engine_for
from shared.database.fence import Hold
from shared.errors import BudgetExhausted
from shared.ids import new_call_id
from shared.llm.ledger import NewCall, Settlement, book_unknown
from shared.llm.provider import LLMReply, Outcome, Usage
from shared.llm.stop import Stop
from shared.llm.writer import LedgerWriter
from tests.service.llm.rows import add_job, budget_of, execute

WORKERS = 4
JOBS_AT_ONCE = 2
CALLS_IN_FLIGHT = 200
BUDGETS = 20
# None: a new one each time. It is no part of the test's name, which has to be the same in all processes.
SEEDS = (2025, None)
# In ten-thousandths of a dollar.
WORST = range(10, 200)
SMALLEST = Decimal(WORST.start) / 10_000
ANY = range(1, 15_000)
# The first calls of all callers of a job fit, whatever they cost: such a round is sure to have many in flight.
WIDE = range(WORST.stop * CALLS_IN_FLIGHT // JOBS_AT_ONCE, 25_000)
PAID = LLMReply(Outcome.OK, raw="{}", usage=Usage(100, 300), http_status=200)
LOST_ANSWER = LLMReply(Outcome.TIMEOUT)


@dataclass
class Job:
    """A job, its budget, how many of its callers still call, and what they saw."""

    hold: Hold
    budget: Decimal
    rng: Random
    callers: int = CALLS_IN_FLIGHT // JOBS_AT_ONCE
    opened: int = 0
    refused: int = 0
    ordinals: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))


class Watcher:
    """Looks at the budgets through a connection of its own, as often as it can, from a thread of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.looks = 0
        self.most_in_flight = 0
        self.beyond: list[tuple[object, ...]] = []
        self._over = threading.Event()

    def look(self) -> None:
        beyond = (
            "SELECT job_id, budget_usd, spent_usd, held_usd FROM job_budget WHERE spent_usd + held_usd > budget_usd"
        )
        in_flight = "SELECT COUNT(*) FROM call WHERE state = 'sent'"
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not self._over.is_set():
                self.beyond += connection.execute(beyond).fetchall()
                self.looks += 1
                if self.looks % 16 == 0:
                    [counted] = connection.execute(in_flight).fetchall()
                    self.most_in_flight = max(self.most_in_flight, counted[0])

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


@pytest.fixture(scope="module")
async def writers(database_url: str) -> AsyncIterator[list[LedgerWriter]]:
    """The ledger as several worker processes write it: each with its own connections and groups."""
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(engine_for(database_url, application="w")) for _ in range(WORKERS)]
        yield [LedgerWriter(engine, Random(n)) for n, engine in enumerate(engines)]


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_budget_is_ever_passed_and_each_is_used_as_far_as_calls_fit(
    engine: AsyncEngine, database_url: str, writers: list[LedgerWriter], seed: int | None
) -> None:
    seed = secrets.randbelow(10**6) if seed is None else seed
    rng = Random(seed)
    watcher = Watcher(database_url)
    with watcher.watching():
        for number in range(BUDGETS // len(SEEDS) // JOBS_AT_ONCE):
            budgets = WIDE if number == 0 else ANY
            await spend_up(engine, writers, [await new_job(engine, rng, budgets) for _ in range(JOBS_AT_ONCE)], seed)
    assert watcher.beyond == [], f"seed {seed}"
    assert watcher.looks > 100
    assert watcher.most_in_flight > CALLS_IN_FLIGHT / 2


async def new_job(engine: AsyncEngine, rng: Random, budgets: range) -> Job:
    budget = Decimal(rng.choice(budgets)) / 10_000
    return Job(await add_job(engine, budget), budget, Random(rng.randrange(2**31)))


async def spend_up(engine: AsyncEngine, writers: Sequence[LedgerWriter], jobs: Sequence[Job], seed: int) -> None:
    """All callers of all jobs at once, spread over the workers, until no call of any job fits any more."""
    callers = [
        call_until_refused(writers[n % WORKERS], job, Random(job.rng.randrange(2**31)))
        for job in jobs
        for n in range(job.callers)
    ]
    await asyncio.gather(*callers)
    for job in jobs:
        told = f"seed {seed}, {job}"
        spent, held = await budget_of(engine, job.hold)
        assert spent + held <= job.budget, told
        assert job.refused > 0, told
        assert job.budget - spent - held < SMALLEST, told
        # What was never settled belongs to a holder that is gone: it is taken to have cost its worst case.
        await execute(
            engine, "UPDATE batch SET lease_until = now() - interval '1 s' WHERE id = :id", id=job.hold.batch_id
        )
        async with engine.begin() as conn:
            await book_unknown(conn, batch_id=job.hold.batch_id)
        assert await budget_of(engine, job.hold) == (spent + held, Decimal(0)), told


async def call_until_refused(writer: LedgerWriter, job: Job, rng: Random) -> None:
    """The last caller of a job, when nothing else is under way, goes on with what it is said to fit, then the least."""
    worst_of_all = WORST.stop
    while True:
        worst = Decimal(rng.randrange(WORST.start, worst_of_all)) / 10_000 if worst_of_all > WORST.start else SMALLEST
        call = NewCall(job.hold, new_call_id(), next(job.ordinals), "openai/x", {}, worst)
        try:
            await writer.open(call, Stop())
        except BudgetExhausted:
            job.refused += 1
            if job.callers > 1:
                job.callers -= 1
                return
            if worst == SMALLEST:
                return
            worst_of_all = WORST.start
            continue
        job.opened += 1
        # The model thinks, meanwhile others open theirs.
        await asyncio.sleep(rng.uniform(0, 0.03))
        await end(writer, job, call, rng)


async def end(writer: LedgerWriter, job: Job, call: NewCall, rng: Random) -> None:
    """Mostly a reply of any price up to the worst, or none: then perhaps a late one, or never one."""
    fate = rng.random()
    if fate < 0.02:
        return
    if fate < 0.06:
        await writer.settle(job.hold.job_id, Settlement(call.call_id, LOST_ANSWER, call.worst_usd))
    if fate < 0.04 or fate >= 0.06:
        share = rng.choice([rng.random() / 3, rng.random(), 1.0])
        cost = (call.worst_usd * Decimal(share)).quantize(Decimal("1e-12"))
        await writer.settle(job.hold.job_id, Settlement(call.call_id, PAID, min(cost, call.worst_usd)))
