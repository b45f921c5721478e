"""What keeping the sums costs those who write: the ledger's writes and admissions, with the triggers and without.

On one connection that does not wait for the disk at its commits: the triggers' share is largest there.
"""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal

from matplotlib.figure import Figure
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.replies import make_replies
from bench.report import Report, draw_bars, medians
from bench.stocked import empty_database
from bench.trial import cpu_seconds
from shared.corpus.admission import Candidate, CandidateReply, admit
from shared.corpus.fingerprint import fingerprint_many
from shared.database.engine import engine_for
from shared.database.fence import Hold
from shared.database.tally import fold_changes
from shared.ids import new_call_id
from shared.llm.ledger import NewCall, Settlement, open_call, settle_calls
from shared.llm.provider import LLMReply, Outcome, Usage
from shared.questions.parsing import parse_questions
from tests.service.factories import CELL, make_hold

CLAIM = "the triggers that keep the sums: at most 10 % of a call's ledger writes and of an admission"
BOUND = 1.10
CALLS = 1000
ADMISSIONS = 150
QUESTIONS = 10
PAID = LLMReply(Outcome.OK, raw="x" * 1500, usage=Usage(100, 300), http_status=200)
MODEL = "openai/gpt-6-luna"
TABLES = ("question", "batch", "call")


def measure(rounds: int) -> Report:
    """With, without, with, without ...; each time new calls and new questions."""
    with empty_database() as url:
        found = asyncio.run(_measure(url, rounds))
    result = medians(found)

    def draw(figure: Figure) -> None:
        bars = {"a call's ledger writes": result["ledger_ratio"], "an admission": result["admission_ratio"]}
        draw_bars(figure, bars, label="with the triggers / without", bound=BOUND)

    holds = max(result["ledger_ratio"], result["admission_ratio"]) <= BOUND
    return Report(CLAIM, found, result, holds, draw)


async def _measure(url: str, rounds: int) -> list[dict[str, float]]:
    found = []
    replies = iter(make_replies((2 * rounds + 1) * ADMISSIONS, QUESTIONS))
    async with engine_for(url, application="questmill-bench") as engine:
        async with engine.begin() as conn:
            hold = await make_hold(conn, "bench")
        async with engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            await conn.execute(text("SET synchronous_commit = off"))
            await conn.execute(text("UPDATE batch SET lease_until = clock_timestamp() + interval '1 h'"))
            writer = _Writer(conn, hold, replies, (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one())
            await writer.write()
            for round_number in range(rounds):
                numbers: dict[str, float] = {}
                # What comes second finds more rows: with and without take turns at it.
                for how in ("ENABLE", "DISABLE") if round_number % 2 == 0 else ("DISABLE", "ENABLE"):
                    for table in TABLES:
                        await conn.execute(text(f"ALTER TABLE {table} {how} TRIGGER USER"))
                    name = "" if how == "ENABLE" else "_bare"
                    numbers |= {f"{what}{name}_ms": each for what, each in (await writer.write()).items()}
                await fold_changes(engine)
                for what in ("ledger", "ledger_cpu", "admission", "admission_cpu"):
                    numbers[f"{what}_ratio"] = numbers[f"{what}_ms"] / numbers[f"{what}_bare_ms"]
                found.append(numbers)
    return found


class _Writer:
    """Writes on one connection; tells milliseconds a write, and those of them that its backend's CPU was busy."""

    def __init__(self, conn: AsyncConnection, hold: Hold, replies: Iterator[str], backend: int) -> None:
        self._conn = conn
        self._hold = hold
        self._replies = replies
        self._backend = backend

    async def write(self) -> dict[str, float]:
        """Many calls, and then many admissions."""
        calls = [new_call_id() for _ in range(CALLS)]
        candidates = [self._candidates() for _ in range(ADMISSIONS)]
        began, busy = time.perf_counter(), cpu_seconds(self._backend)
        for ordinal, call_id in enumerate(calls):
            new = NewCall(self._hold, call_id, ordinal, model=MODEL, prompt={}, worst_usd=Decimal(0))
            await open_call(self._conn, new)
            await settle_calls(self._conn, [Settlement(call_id, PAID, Decimal(0))])
        called, called_busy = time.perf_counter(), cpu_seconds(self._backend)
        for call_id, each in zip(calls, candidates, strict=False):
            await self._conn.execute(text("BEGIN"))
            reply = CandidateReply(self._hold, CELL, call_id, MODEL, each)
            await admit(self._conn, self._hold.dataset_id, [reply], template_cap=5)
            await self._conn.execute(text("COMMIT"))
        admitted, admitted_busy = time.perf_counter(), cpu_seconds(self._backend)
        return {
            "ledger": (called - began) * 1000 / CALLS,
            "ledger_cpu": (called_busy - busy) * 1000 / CALLS,
            "admission": (admitted - called) * 1000 / ADMISSIONS,
            "admission_cpu": (admitted_busy - called_busy) * 1000 / ADMISSIONS,
        }

    def _candidates(self) -> list[Candidate]:
        texts = parse_questions(next(self._replies), cut=False).questions
        return [Candidate(each, 20, (), its) for each, its in zip(texts, fingerprint_many(texts), strict=True)]
