"""What keeping the sums costs those who write: the ledger's writes and admissions, with the triggers and without.

On one connection that does not wait for the disk at its commits: the triggers' share is largest there.
"""

import asyncio
import time
from decimal import Decimal
from typing import Any

from matplotlib.figure import Figure
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.replies import make_replies
from bench.report import Report, draw_bars, medians
from bench.stocked import empty_database
from shared.corpus.admission import Candidate, admit
from shared.corpus.fingerprint import fingerprint_many
from shared.database.engine import engine_for
from shared.database.fence import Hold
from shared.database.tally import fold_changes
from shared.ids import new_call_id
from shared.llm.ledger import open_call, settle_call
from shared.llm.provider import LLMReply, Outcome, Usage
from shared.questions.parsing import parse_questions
from tests.service.factories import CELL, make_hold

CLAIM = "the triggers that keep the sums: at most 10 % of a call's ledger writes and of an admission"
BOUND = 1.10
CALLS = 400
QUESTIONS = 10
# A quarter of this many calls are admitted.
ADMIT_EVERY = 4
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
    replies = iter(make_replies(2 * (rounds + 1) * CALLS // ADMIT_EVERY, QUESTIONS))
    async with engine_for(url, application="questmill-bench") as engine:
        async with engine.begin() as conn:
            hold = await make_hold(conn, "bench")
        async with engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            await conn.execute(text("SET synchronous_commit = off"))
            await conn.execute(text("UPDATE batch SET lease_until = clock_timestamp() + interval '1 h'"))
            await _write(conn, hold, replies)
            for _ in range(rounds):
                numbers: dict[str, float] = {}
                for how in ("ENABLE", "DISABLE"):
                    for table in TABLES:
                        await conn.execute(text(f"ALTER TABLE {table} {how} TRIGGER USER"))
                    numbers |= {
                        f"{how.lower()}_{name}": each for name, each in (await _write(conn, hold, replies)).items()
                    }
                await fold_changes(engine)
                found.append(
                    {
                        "ledger_ms": numbers["enable_ledger"],
                        "ledger_bare_ms": numbers["disable_ledger"],
                        "ledger_ratio": numbers["enable_ledger"] / numbers["disable_ledger"],
                        "admission_ms": numbers["enable_admission"],
                        "admission_bare_ms": numbers["disable_admission"],
                        "admission_ratio": numbers["enable_admission"] / numbers["disable_admission"],
                    }
                )
    return found


async def _write(conn: AsyncConnection, hold: Hold, replies: Any) -> dict[str, float]:
    """Milliseconds of a call's two ledger writes and of the admission of a reply."""
    ledger = admission = 0.0
    for number in range(CALLS):
        call_id = new_call_id()
        began = time.perf_counter()
        await open_call(conn, hold, call_id=call_id, ordinal=number, model=MODEL, prompt={}, worst_usd=Decimal(0))
        await settle_call(conn, call_id, PAID, Decimal(0))
        ledger += time.perf_counter() - began
        if number % ADMIT_EVERY == 0:
            texts = parse_questions(next(replies), cut=False).questions
            prints = fingerprint_many(texts)
            candidates = [Candidate(each, 20, (), its) for each, its in zip(texts, prints, strict=True)]
            began = time.perf_counter()
            await conn.execute(text("BEGIN"))
            await admit(conn, hold, cell=CELL, call_id=call_id, model=MODEL, candidates=candidates, template_cap=5)
            await conn.execute(text("COMMIT"))
            admission += time.perf_counter() - began
    return {"ledger": ledger * 1000 / CALLS, "admission": admission * 1000 / (CALLS // ADMIT_EVERY)}
