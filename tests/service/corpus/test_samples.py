"""Samples and single questions, with all that is known of how they came about."""

from decimal import Decimal
from itertools import count

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.corpus.provenance import read_provenance
from shared.corpus.samples import draw_sample
from shared.database.fence import Hold, confirm_hold
from shared.database.states import CallState, QuestionState
from shared.database.tables import call, question
from shared.errors import InvalidInput, NotFound
from shared.ids import CallId, QuestionId, new_call_id
from shared.planning.mix import Cell
from tests.service.factories import MODEL, add_answer, add_verdict, admit_reply, make_hold, set_spec

names = (f"samples-{number}" for number in count())
ordinals = count()


async def add_call(
    conn: AsyncConnection, hold: Hold, stage: str, cost: str, *, admitted: int | None = None, **prompt: object
) -> CallId:
    """A paid call of a stage."""
    call_id = new_call_id()
    await conn.execute(
        insert(call).values(
            id=call_id, job_id=hold.job_id, batch_id=hold.batch_id, stage=stage, difficulty="easy",
            ordinal=next(ordinals), attempt=1, fence=hold.fence, model=MODEL, prompt=prompt,
            state=CallState.OK, outcome="ok", raw="as it came", worst_usd=1, cost_usd=Decimal(cost),
            settled_at=text("now()"), parsed_at=text("now()"), generated=admitted, admitted=admitted,
        )
    )  # fmt: skip
    return call_id


async def make_whole(engine: AsyncEngine, name: str) -> tuple[QuestionId, QuestionId]:
    """Two questions of one call; the first was judged twice and answered, the second rejected."""
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        await set_spec(conn, hold.job_id, stages=["generate", "validate", "answer"], models={"answer": {"easy": MODEL}})
        made = await add_call(conn, hold, "generate", "0.02", admitted=2, topic="waves", version="generate-1-x")
        await confirm_hold(conn, hold)
        first, second = (await admit_reply(conn, hold, "Why do waves break?", "Why not?", call_id=made)).admitted
        both = [first, second]
        for vote in range(2):
            judged = await add_call(conn, hold, "validate", "0.004", question_ids=both, version="validate-1-x")
            await add_verdict(conn, hold, first, vote=vote, clear=4 + vote, call_id=judged)
            await add_verdict(conn, hold, second, vote=vote, clear=2, reason="Why not what?", call_id=judged)
        told = await add_call(conn, hold, "answer", "0.3", question_ids=[first], version="answer-1-x")
        await add_answer(conn, hold, first, "The bottom slows them.", call_id=told)
        await conn.execute(update(question).where(question.c.id == first).values(validated=True))
        rejected = {"state": "rejected", "reason": "not clear (2 of 2 judges): Why not what?"}
        await conn.execute(update(question).where(question.c.id == second).values(**rejected))
    return first, second


async def test_a_question_is_told_whole(engine: AsyncEngine) -> None:
    first, _ = await make_whole(engine, next(names))
    told = await read_provenance(engine, first)
    assert (told["question"], told["validated"], told["answered"]) == ("Why do waves break?", True, True)
    assert (told["call"]["prompt"]["topic"], told["call"]["raw"]) == ("waves", "as it came")
    assert told["call"]["cost_usd"] == Decimal("0.02")
    assert [(each["vote"], each["accepted"], each["scores"]["clear"]) for each in told["verdicts"]] == [
        (0, True, 4), (1, True, 5),
    ]  # fmt: skip
    assert [(each["cost_usd"], each["call_questions"]) for each in told["verdicts"]] == [(Decimal("0.004"), 2)] * 2
    [answer] = told["answers"]
    assert (answer["text"], answer["cost_usd"], answer["call_questions"]) == (
        "The bottom slows them.", Decimal("0.3"), 1,
    )  # fmt: skip


async def test_a_question_outlives_its_ledger(engine: AsyncEngine) -> None:
    name = next(names)
    first, _ = await make_whole(engine, name)
    async with engine.begin() as conn:
        await conn.execute(
            text("DELETE FROM call WHERE job_id = (SELECT job_id FROM question WHERE id = :id)"), {"id": first}
        )
    told = await read_provenance(engine, first)
    assert told["call"] is None
    assert [each["cost_usd"] for each in (*told["verdicts"], *told["answers"])] == [None] * 3
    [item] = (await draw_sample(engine, name, n=1, state=QuestionState.SELECTED))["items"]
    assert item["cost_usd"] == dict.fromkeys(("generate", "validate", "answer", "total"))


async def test_a_sample_tells_of_each_question_its_share_of_the_cost(engine: AsyncEngine) -> None:
    name = next(names)
    first, second = await make_whole(engine, name)
    drawn = await draw_sample(engine, name, n=5)
    items = {item["id"]: item for item in drawn["items"]}
    assert (drawn["among"], set(items)) == (2, {first, second})
    usd = {stage: Decimal(cost) for stage, cost in (("generate", "0.01"), ("validate", "0.004"))}
    assert items[first]["cost_usd"] == {**usd, "answer": Decimal("0.3"), "total": Decimal("0.314")}
    assert items[second]["cost_usd"] == {**usd, "answer": 0, "total": Decimal("0.014")}
    assert [items[each]["verdict"] for each in (first, second)] == ["accepted", "rejected"]
    assert items[first]["scores"]["clear"] == 4.5
    assert [items[each]["answer_count"] for each in (first, second)] == [1, 0]
    assert (items[first]["answer"], items[first]["answer_model"]) == ("The bottom slows them.", MODEL)
    assert [(each["vote"], each["accepted"], each["reason"]) for each in items[second]["verdicts"]] == [
        (0, False, "Why not what?"), (1, False, "Why not what?"),
    ]  # fmt: skip
    assert (items[second]["topic"], items[second]["answer"]) == ("waves", None)


async def test_the_same_seed_draws_the_same_and_no_seed_another(engine: AsyncEngine) -> None:
    name = next(names)
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        await confirm_hold(conn, hold)
        asked = (f"What grows behind house {number} in {'abcdefghij'[number % 10]}?" for number in range(200))
        await admit_reply(conn, hold, *asked, template_cap=1000)

    async def ids(seed: int | None = None) -> tuple[int, list[int]]:
        drawn = await draw_sample(engine, name, n=10, seed=seed)
        return drawn["seed"], [item["id"] for item in drawn["items"]]

    seed, some = await ids()
    assert len(some) == 10
    assert await ids(seed) == (seed, some)
    assert len({tuple((await ids())[1]) for _ in range(5)}) > 1


async def test_a_sample_of_a_cell_and_a_state(engine: AsyncEngine) -> None:
    name = next(names)
    await make_whole(engine, name)
    async with engine.begin() as conn:
        hold = await make_hold(conn, next(names), cell=Cell("reading", "hard"))
        await confirm_hold(conn, hold)
    drawn = await draw_sample(engine, name, n=5, domain="math", difficulty="easy", state=QuestionState.REJECTED)
    assert ([item["question"] for item in drawn["items"]], drawn["among"]) == (["Why not?"], 1)
    none = await draw_sample(engine, name, n=5, domain="math", state=QuestionState.DISCARDED)
    assert (none["items"], none["among"]) == ([], 0)
    for domain, difficulty in (("maths", None), ("math", "hard"), (None, "hard")):
        with pytest.raises(InvalidInput, match="its cells: math/easy"):
            await draw_sample(engine, name, n=5, domain=domain, difficulty=difficulty)
    with pytest.raises(NotFound):
        await draw_sample(engine, "nowhere", n=5)
