"""Promise 8: after any operations, in any order, what is added up is what the rows say."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.by_hand import discard_question, restore_question
from shared.corpus.datasets import delete_dataset, list_datasets
from shared.database.tally import fold_changes
from shared.errors import Conflict, FencedOff, JobNotRunning
from shared.ids import CallId, JobId, QuestionId, new_call_id
from shared.jobs.actions import DropFree, Park, Select
from shared.jobs.apply import apply
from shared.jobs.archive import archive_job
from shared.jobs.claim import ClaimedBatch, finish, release
from shared.jobs.control import cancel_job, pause_job, resume_job
from shared.jobs.progress import read_job
from shared.llm.ledger import NewCall, Settlement, book_unknown, open_call, settle_calls
from shared.llm.provider import LLMReply, Outcome
from shared.planning.mix import Cell
from shared.settings import Settings
from tests.recount import COUNTS
from tests.service.jobs.past import COST, MODEL, PAID, WORST, judged
from tests.service.jobs.world import (
    MATH,
    Broker,
    add_questions,
    batches_of,
    claim_as,
    execute,
    expire,
    fetch,
    make_spec,
    submit,
    tick,
    until_blocked_by,
)


async def check(conn: AsyncConnection) -> None:
    """Inside one snapshot, whatever others do meanwhile."""
    for table, (told, counted) in COUNTS.items():
        rows = sorted(map(repr, await conn.execute(text(told))))
        assert rows == sorted(map(repr, await conn.execute(text(counted)))), table


async def check_now(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        await conn.execution_options(isolation_level="REPEATABLE READ")
        await check(conn)


class History:
    """Random things that happen to a job and its dataset; each may find that it cannot be done."""

    def __init__(self, engine: AsyncEngine, dataset: str, job_id: JobId, rng: Random) -> None:
        self.engine, self.dataset, self.job_id, self.rng = engine, dataset, job_id, rng
        self.held: list[ClaimedBatch] = []
        self.texts = 0

    async def step(self) -> str:
        """One thing; its name."""
        things: list[Callable[[], Awaitable[object]]] = [
            self.claim_one, self.work, self.work, self.work, self.lose, self.wake, self.wake,
            self.end_batch, self.give_back, self.discard,
            self.restore, self.move, self.bring, self.steer, self.look, self.look, self.fold, self.park, self.drop,
            self.mend,
        ]  # fmt: skip
        thing = self.rng.choice(things)
        try:
            await thing()
        except (Conflict, FencedOff, JobNotRunning):
            return f"{thing.__name__} was refused"
        return thing.__name__

    def new_texts(self) -> list[str]:
        self.texts += 3
        words = ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "harbor", "island", "jungle"]
        return [
            f"Why does the {self.rng.choice(words)} {self.rng.choice(words)} of {n}{self.rng.random()} matter?"
            for n in range(self.texts - 3, self.texts)
        ]

    async def claim_one(self) -> None:
        if pending := [row for row in await batches_of(self.engine, self.job_id) if row.state == "pending"]:
            batch = await claim_as(self.engine, self.rng.choice(pending).id, max_attempts=50)
            self.held += [batch] if batch else []

    async def work(self) -> None:
        """A call that is answered in one way or another, and perhaps judged."""
        if not self.held:
            return
        batch = self.rng.choice(self.held)
        call_id = new_call_id()
        async with self.engine.begin() as conn:
            ordinal = self.rng.randrange(20)
            await open_call(conn, NewCall(batch.hold, call_id, ordinal, model=MODEL, prompt={}, worst_usd=WORST))
        how = self.rng.choice(["in flight", "failed", "unknown", "late", "ok", "ok"])
        if how == "in flight":
            return
        reply = {"failed": LLMReply(Outcome.OVERLOADED, http_status=529), "unknown": LLMReply(Outcome.TIMEOUT)}
        async with self.engine.begin() as conn:
            cost = Decimal(0) if how == "failed" else COST
            await settle_calls(conn, [Settlement(call_id, reply.get(how, PAID), cost)])
        if how == "ok":
            await judged(self.engine, batch, call_id, self.new_texts(), flawed=["Odd?"] * self.rng.randrange(2))

    async def lose(self) -> None:
        if self.held:
            batch = self.held.pop(self.rng.randrange(len(self.held)))
            await expire(self.engine, batch.hold.batch_id)
            async with self.engine.begin() as conn:
                await book_unknown(conn, batch_id=batch.hold.batch_id)

    async def wake(self) -> None:
        """A process that was taken for dead records its reply after all."""
        lost = "SELECT id FROM call WHERE job_id = :id AND state = 'unknown' ORDER BY id"
        if rows := await fetch(self.engine, lost, id=self.job_id):
            async with self.engine.begin() as conn:
                await settle_calls(conn, [Settlement(CallId(self.rng.choice(rows)[0]), PAID, COST)])

    async def end_batch(self) -> None:
        if self.held:
            batch = self.held.pop(self.rng.randrange(len(self.held)))
            async with self.engine.begin() as conn:
                await finish(conn, batch.hold)

    async def give_back(self) -> None:
        if self.held:
            batch = self.held.pop(self.rng.randrange(len(self.held)))
            async with self.engine.begin() as conn:
                await release(conn, batch.hold)

    async def _any_question(self) -> QuestionId | None:
        rows = await fetch(
            self.engine,
            "SELECT question.id FROM question JOIN dataset ON dataset.id = dataset_id WHERE name = :name ORDER BY 1",
            name=self.dataset,
        )
        return QuestionId(self.rng.choice(rows)[0]) if rows else None

    async def discard(self) -> None:
        if question := await self._any_question():
            await discard_question(self.engine, question)

    async def restore(self) -> None:
        if question := await self._any_question():
            await restore_question(self.engine, question)

    async def move(self) -> None:
        async with self.engine.begin() as conn:
            await apply(conn, self.job_id, [Select(MATH, self.rng.randrange(20))])

    async def bring(self) -> None:
        """Rows that no worker brings: of two cells, some repeated."""
        for cell in (MATH, Cell("reading", "hard")):
            await add_questions(self.engine, self.dataset, self.new_texts(), cell=cell)

    async def steer(self) -> None:
        if self.rng.random() < 0.5:
            await pause_job(self.engine, self.job_id)
        else:
            await resume_job(self.engine, self.job_id)

    async def look(self) -> None:
        await tick(self.engine, self.job_id, Broker())

    async def fold(self) -> None:
        await fold_changes(self.engine)

    async def park(self) -> None:
        if rows := await batches_of(self.engine, self.job_id):
            async with self.engine.begin() as conn:
                await apply(conn, self.job_id, [Park(self.rng.choice(rows).id, "a test")])

    async def drop(self) -> None:
        if self.rng.random() < 0.2:
            async with self.engine.begin() as conn:
                await apply(conn, self.job_id, [DropFree(MATH, "a test")])

    async def mend(self) -> None:
        """What no code does and a person might: rows changed and deleted by hand."""
        await execute(
            self.engine,
            self.rng.choice(
                [
                    "UPDATE question SET prompt_tokens = prompt_tokens + 1 WHERE id % 3 = 0",
                    "UPDATE question SET validated = NOT validated WHERE id % 5 = 0",
                    "UPDATE question SET answered = true, completion_tokens = id % 90 WHERE id % 4 = 0",
                    "UPDATE question SET state = 'rejected', reason = 'unclear' WHERE id % 11 = 0",
                    "DELETE FROM question WHERE id % 17 = 0",
                    "UPDATE call SET output_tokens = output_tokens + 1 WHERE state = 'ok' AND ordinal % 2 = 0",
                    "DELETE FROM call WHERE ordinal % 7 = 0 AND state = 'failed'",
                    "DELETE FROM batch WHERE state = 'dropped' AND number % 2 = 0",
                    "UPDATE batch SET generated = generated + 1 WHERE state = 'done'",
                    "UPDATE batch SET rejected = '{}' WHERE state = 'done' AND number % 2 = 0",
                ]
            ),
        )


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_history_the_sums_are_what_the_rows_say(
    engine: AsyncEngine, settings: Settings, dataset: str, seed: int
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset, mix={"domains": {"math": 4000}}))
    history = History(engine, dataset, job_id, Random(seed))
    done: list[str] = []
    for _ in range(60):
        done.append(await history.step())
        try:
            await check_now(engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\nafter {done}") from error
    if (await read_job(engine, job_id))["state"] in ("running", "paused"):
        await cancel_job(engine, job_id)
    await check_now(engine)
    await execute(engine, "DELETE FROM call WHERE state = 'sent'")
    await execute(engine, "UPDATE job_budget SET held_usd = 0, spent_usd = 0")
    await execute(engine, "UPDATE call SET cost_usd = 0")
    shown = await read_job(engine, job_id)
    assert (await archive_job(engine, job_id)).kept_because is None
    await check_now(engine)
    await fold_changes(engine)
    assert (await read_job(engine, job_id))["progress"] == shown["progress"]
    assert await fetch(engine, "SELECT 1 FROM call_tally WHERE job_id = :id", id=job_id) == []
    await delete_dataset(engine, dataset)
    await check_now(engine)


async def test_a_deletion_leaves_no_count_and_a_truncation_none_at_all(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset))
    history = History(engine, dataset, job_id, Random(1))
    for _ in range(40):
        await history.step()
    await fold_changes(engine)
    await history.bring()
    await cancel_job(engine, job_id)
    await delete_dataset(engine, dataset)
    assert await fetch(engine, "SELECT 1 FROM batch_tally WHERE job_id = :id", id=job_id) == []
    assert await fetch(engine, "SELECT 1 FROM call_change WHERE job_id = :id", id=job_id) == []
    await add_questions(engine, dataset, ["What is one plus one?"])
    await execute(engine, "TRUNCATE dataset CASCADE")
    await check_now(engine)
    for table in ("question", "batch", "call"):
        assert await fetch(engine, f"SELECT 1 FROM {table}_change UNION ALL SELECT 1 FROM {table}_tally") == []


async def test_writers_do_not_wait_for_one_another_nor_for_who_folds(engine: AsyncEngine, dataset: str) -> None:
    """Two writers of one cell, and a fold between them, each in a transaction that is not over."""
    dataset_id = await add_questions(engine, dataset, ["Why one?", "Why two?", "Why three?"])
    discard = text("UPDATE question SET state = 'discarded' WHERE dataset_id = :id AND text = :text")
    async with engine.connect() as first, engine.connect() as second:
        await first.execute(discard, {"id": dataset_id, "text": "Why one?"})
        async with asyncio.timeout(5):
            await second.execute(discard, {"id": dataset_id, "text": "Why two?"})
            await fold_changes(engine)
        for conn in (first, second):
            await check(conn)
        await check_now(engine)
        await first.commit()
        await second.rollback()
    await check_now(engine)
    assert await fetch(
        engine,
        "SELECT state, questions FROM question_count WHERE dataset_id = :id ORDER BY state",
        id=dataset_id,
    ) == [("discarded", 1), ("selected", 2)]


async def test_a_call_that_is_settled_while_its_dataset_is_deleted_leaves_no_count(
    engine: AsyncEngine, settings: Settings, dataset: str
) -> None:
    job_id = await submit(engine, settings, make_spec(dataset))
    history = History(engine, dataset, job_id, Random(1))
    await history.claim_one()
    call_id = new_call_id()
    async with engine.begin() as conn:
        await open_call(conn, NewCall(history.held[0].hold, call_id, 0, model=MODEL, prompt={}, worst_usd=WORST))
    await cancel_job(engine, job_id)
    async with engine.connect() as conn:
        await settle_calls(conn, [Settlement(call_id, PAID, COST)])
        deleting = asyncio.create_task(delete_dataset(engine, dataset))
        await until_blocked_by(engine, (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one())
        await conn.commit()
    await deleting
    assert dataset not in [each["name"] for each in await list_datasets(engine)]
    assert await fetch(engine, "SELECT 1 FROM call_change WHERE job_id = :id", id=job_id) == []
    await check_now(engine)


async def test_a_fold_keeps_every_sum_while_others_write(engine: AsyncEngine, dataset: str) -> None:
    """Readers in between see each change once: before, after and while it is moved."""
    dataset_id = await add_questions(engine, dataset, [f"Why {n}?" for n in range(100)])
    over = asyncio.Event()

    async def write(rest: int) -> None:
        for number in range(rest, 100, 2):
            await execute(
                engine,
                "UPDATE question SET state = 'reserve' WHERE dataset_id = :id AND text = :text",
                id=dataset_id,
                text=f"Why {number}?",
            )

    async def fold() -> None:
        while not over.is_set():
            await fold_changes(engine)

    async def read() -> None:
        while not over.is_set():
            await check_now(engine)

    async with asyncio.TaskGroup() as group:
        others = [group.create_task(each()) for each in (fold, fold, read)]
        await asyncio.gather(write(0), write(1))
        over.set()
        await asyncio.gather(*others)
    await fold_changes(engine)
    assert await fetch(engine, "SELECT 1 FROM question_change") == []
    await check_now(engine)


async def test_gathered_changes_become_one_row_for_each_cell_and_state(engine: AsyncEngine, dataset: str) -> None:
    dataset_id = 0
    for number in range(30):
        dataset_id = await add_questions(engine, dataset, [f"Why {number}?"])
    of_it = "SELECT COUNT(*) FROM {} WHERE dataset_id = :id"
    assert await fetch(engine, of_it.format("question_change"), id=dataset_id) == [(30,)]
    await fold_changes(engine)
    assert await fetch(engine, of_it.format("question_change"), id=dataset_id) == [(0,)]
    assert await fetch(engine, of_it.format("question_tally"), id=dataset_id) == [(1,)]
    await check_now(engine)
