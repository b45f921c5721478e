"""A tick of the reconciler over 1,000 running jobs, before and after ten times the work is finished.

What a query touches is told by EXPLAIN (ANALYZE, BUFFERS): pages of memory, of all tables and indexes.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from matplotlib.figure import Figure
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bench.report import Report, draw_bars
from bench.stocked import Stock, empty_database, stocking
from shared.database.engine import engine_for
from shared.ids import BatchId
from shared.jobs import observe, reconcile
from shared.jobs.reconcile import HintMessage
from shared.settings import Settings
from workers.reconciler import Reconciler

CLAIM = "a tick over 1,000 running jobs: at most 1 s, and no query touches more when ten times the work is finished"
BOUND_SECONDS = 1.0
# An index that has grown tenfold may have one level more: a page more for each look-up, which took two or three.
BOUND_GROWTH = 1.5
JOBS = 1000
# Of these each tick finds a hint to repeat: a tick every 5 s and a repeat after 30 s, had they all a batch unclaimed.
WAITING = 167
DONE, QUESTIONS = 8, 20
FACTOR = 10
UNHINT = """
UPDATE batch SET hinted_at = CASE WHEN job_id = ANY (:waiting) AND difficulty = 'easy' AND number = (
        SELECT MAX(number) FROM batch AS other WHERE other.job_id = batch.job_id AND other.state = 'pending')
    THEN clock_timestamp() - interval '31 s' ELSE clock_timestamp() END
WHERE state = 'pending'
"""


def measure(rounds: int) -> Report:
    """Ticks with little finished, then with ten times as much."""
    with empty_database() as url, stocking(url) as stock:
        jobs = stock.add_jobs([f"set {n}" for n in range(JOBS)], ["math"], ["easy", "hard"])
        stock.add_batches(jobs, "leased", 2)
        stock.add_batches(jobs, "pending", 8)
        little = _look(url, stock, jobs, done=(0, DONE), questions=(0, QUESTIONS), rounds=rounds)
        much = _look(
            url, stock, jobs, done=(DONE, DONE * FACTOR), questions=(QUESTIONS, QUESTIONS * FACTOR), rounds=rounds
        )
    buffers = {name: {"little": little["buffers"][name], "much": much["buffers"][name]} for name in much["buffers"]}
    growth = max(each["much"] / each["little"] for each in buffers.values())
    found = [
        {"little_seconds": a, "much_seconds": b, "ratio": b / a}
        for a, b in zip(little["seconds"], much["seconds"], strict=True)
    ]
    slowest = max(*little["seconds"], *much["seconds"])
    result = {"slowest_seconds": round(slowest, 3), "most_growth": round(growth, 3), "buffers": buffers}

    def draw(figure: Figure) -> None:
        bars = {
            f"{questions * 2:,} questions and {done * 2} batches done a job": max(seconds)
            for questions, done, seconds in (
                (QUESTIONS, DONE, little["seconds"]),
                (QUESTIONS * FACTOR, DONE * FACTOR, much["seconds"]),
            )
        }
        draw_bars(figure, bars, label="seconds a tick, 1,000 running jobs", bound=BOUND_SECONDS)

    holds = slowest <= BOUND_SECONDS and growth <= BOUND_GROWTH
    return Report(CLAIM, found, result, holds, draw)


def _look(
    url: str, stock: Stock, jobs: Sequence[UUID], *, done: tuple[int, int], questions: tuple[int, int], rounds: int
) -> dict[str, Any]:
    """Bring the finished work from one size to another; then the seconds of each tick and the pages of each query."""
    stock.add_batches(jobs, "done", done[1] - done[0], with_calls=False)
    stock.add_questions(jobs, questions[0] + 1, questions[1])
    stock.settle(jobs, questions_per_cell=questions[1])
    return asyncio.run(_measure(url, jobs, rounds))


async def _measure(url: str, jobs: Sequence[UUID], rounds: int) -> dict[str, Any]:
    settings = Settings.model_validate({"database_url": url})
    seconds = []
    async with engine_for(url, application="questmill-bench", pool_size=3) as engine:
        for _ in range(rounds):
            async with engine.begin() as conn:
                await conn.execute(text(UNHINT), {"waiting": list(jobs[:WAITING])})
            broker = _Broker()
            began = time.perf_counter()
            await Reconciler(settings, engine, broker.publish).run_once()
            seconds.append(time.perf_counter() - began)
            assert broker.hints == WAITING, f"{broker.hints} hints were published"
        return {"seconds": seconds, "buffers": await _buffers(engine, jobs)}


class _Broker:
    """Takes every hint; sending them is off the reconciler's loop."""

    def __init__(self) -> None:
        self.hints = 0

    async def publish(self, messages: Sequence[HintMessage]) -> list[BatchId]:
        self.hints += len(messages)
        return [message.batch_id for message in messages]


async def _buffers(engine: AsyncEngine, jobs: Sequence[UUID]) -> dict[str, int]:
    """The pages that each query of a tick touches."""
    of_jobs = {"job_ids": list(jobs)}
    async with engine.connect() as conn:
        datasets = [row.dataset_id for row in await conn.execute(observe.JOBS, of_jobs)]
        queries: dict[str, tuple[TextClause, dict[str, Any]]] = {
            "unfinished": (reconcile.UNFINISHED, {}),
            "jobs": (observe.JOBS, of_jobs),
            "cells": (observe.CELLS, of_jobs),
            "candidates": (observe.CANDIDATES, of_jobs),
            "ended": (observe.ENDED, of_jobs | {"evidence": observe.ENDED_AT_FIRST}),
            "open": (observe.OPEN, of_jobs),
            "questions": (observe.QUESTIONS, {"dataset_ids": datasets}),
        }
        return {name: await _touched(conn, str(query), values) for name, (query, values) in queries.items()}


async def _touched(conn: AsyncConnection, query: str, values: dict[str, Any]) -> int:
    explained = await conn.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"), values)
    plan = explained.scalar_one()[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
