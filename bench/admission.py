"""Admission as a fleet does it: eight processes' worth of writers, each with a connection of its own, into one dataset.

Their replies are admitted through `workers.admitter`, near-duplicates looked for and all. The datasets hold 10,000 and
1,000,000 questions before; their bands are drawn at random, so the measure is of the table's size and not of likeness.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from itertools import islice

import psycopg
from matplotlib.figure import Figure
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.replies import CELL, make_replies
from bench.report import Report, draw_bars, medians
from bench.stocked import empty_database
from shared.database.engine import engine_for, libpq_url
from shared.database.fence import Hold
from shared.ids import CallId, new_call_id
from shared.llm.ledger import NewCall, Settlement, open_calls, settle_calls
from shared.llm.provider import LLMReply, Outcome, Usage
from shared.questions.parsing import parse_questions
from shared.questions.tokens import count_tokens
from tests.service.factories import MODEL, make_hold
from workers.admitter import Admitter, ReadReply

CLAIM = (
    "admission from 8 connections: at least 1,000 questions/s; at 1,000,000 rows at most 1.5 times the time at 10,000"
)
LEAST_PER_SECOND = 1000.0
MOST_RATIO = 1.5
SIZES = {"small": 10_000, "large": 1_000_000}
WRITERS = 8
REPLIES_EACH = 60
QUESTIONS = 10
PAID = LLMReply(Outcome.OK, raw="{}", usage=Usage(260, 250), http_status=200)
FILL = """
INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, prompt_tokens,
    tokenizer)
SELECT %(dataset)s, 'coding', 'easy', 'What does question ' || n || ' ask of ' || md5(n::text) || '?',
    decode(md5(%(dataset)s || '/' || n), 'hex'), n, 1, 20, 'o200k_base' FROM generate_series(1, %(rows)s) AS n
"""
FILL_BANDS = """
INSERT INTO question_band (dataset_id, band, question_id)
SELECT dataset_id, (random() * 9e18)::bigint, id FROM question CROSS JOIN generate_series(1, 12)
WHERE dataset_id = %(dataset)s
"""


def measure(rounds: int) -> Report:
    """Small, large, small, large ...: each time as many new replies."""
    with empty_database() as url:
        found = asyncio.run(_measure(url, rounds))
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {f"{SIZES[size]:,} questions before": result[f"{size}_per_second"] for size in SIZES}
        draw_bars(figure, bars, label="questions admitted a second, 8 connections", bound=LEAST_PER_SECOND)

    holds = result["small_per_second"] >= LEAST_PER_SECOND and result["ratio"] <= MOST_RATIO
    return Report(CLAIM, found, result, holds, draw)


async def _measure(url: str, rounds: int) -> list[dict[str, float]]:
    found = []
    of_a_turn = WRITERS * REPLIES_EACH
    replies = iter(make_replies(2 * rounds * of_a_turn, QUESTIONS))
    async with engine_for(url, application="questmill-bench") as engine:
        holds = {size: await _hold(engine, size) for size in SIZES}
        await asyncio.to_thread(_fill, url, {size: holds[size].dataset_id for size in SIZES})
        for number in range(rounds):
            numbers: dict[str, float] = {}
            for size in SIZES:
                texts = list(islice(replies, of_a_turn))
                numbers[f"{size}_per_second"] = await _turn(url, engine, holds[size], texts, first=number * of_a_turn)
            numbers["ratio"] = numbers["small_per_second"] / numbers["large_per_second"]
            found.append(numbers)
    return found


async def _hold(engine: AsyncEngine, name: str) -> Hold:
    async with engine.begin() as conn:
        return await make_hold(conn, name, cell=CELL)


def _fill(url: str, datasets: dict[str, int]) -> None:
    with psycopg.connect(libpq_url(url), autocommit=True) as conn:
        conn.execute("UPDATE batch SET lease_until = clock_timestamp() + interval '1 h'")
        for size, dataset in datasets.items():
            conn.execute(FILL, {"dataset": dataset, "rows": SIZES[size]})
            conn.execute(FILL_BANDS, {"dataset": dataset})
        conn.execute("VACUUM ANALYZE question, question_band")
        conn.execute("CHECKPOINT")


async def _turn(url: str, engine: AsyncEngine, hold: Hold, texts: Sequence[str], *, first: int) -> float:
    """Questions admitted a second."""
    calls = [new_call_id() for _ in texts]
    async with engine.begin() as conn:
        new = [NewCall(hold, each, first + place, MODEL, {}, Decimal(0)) for place, each in enumerate(calls)]
        await open_calls(conn, hold.job_id, new)
        await settle_calls(conn, [Settlement(each, PAID, Decimal(0)) for each in calls])
    reads = [_read(hold, call_id, text) for call_id, text in zip(calls, texts, strict=True)]
    async with AsyncExitStack() as opened:
        admitters = [
            Admitter(
                await opened.enter_async_context(engine_for(url, application="questmill-bench", pool_size=1)),
                template_cap=5,
            )
            for _ in range(WRITERS)
        ]
        began = time.perf_counter()
        admitted = await asyncio.gather(
            *(admitters[place % WRITERS].admit(read) for place, read in enumerate(reads)),
        )
        return sum(map(len, admitted)) / (time.perf_counter() - began)


def _read(hold: Hold, call_id: CallId, text: str) -> ReadReply:
    usable = [(question, count_tokens(question)) for question in parse_questions(text, cut=False).questions]
    return ReadReply(hold, CELL, call_id, MODEL, "topic", ("topic",), usable, [], Counter())
