import asyncio
from itertools import count

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.by_hand import discard_question, restore_question
from shared.database.tables import dataset, job_cell, question
from shared.errors import Conflict
from tests.service.corpus.test_datasets import change, finish_jobs, ids_by_text, make_questions, set_state, states
from tests.service.factories import make_job

names = (f"by-hand-{number}" for number in count())


async def test_a_discarded_question_gives_its_place_to_the_reserve(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "First of all?", "Second of all?", "Third of all?")
    ids = await ids_by_text(engine, name)
    await set_state(engine, "reserve", ids["Second of all?"])
    shown = await discard_question(engine, ids["First of all?"])
    assert (shown["id"], shown["state"], shown["question"]) == (ids["First of all?"], "discarded", "First of all?")
    assert await states(engine, name) == {
        "First of all?": "discarded",
        "Second of all?": "selected",
        "Third of all?": "selected",
    }
    with pytest.raises(Conflict, match="discarded already"):
        await discard_question(engine, ids["First of all?"])


async def test_discarding_from_the_reserve_promotes_nothing(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Reserve one?", "Reserve two?")
    ids = await ids_by_text(engine, name)
    await set_state(engine, "reserve", *ids.values())
    await discard_question(engine, ids["Reserve one?"])
    assert await states(engine, name) == {"Reserve one?": "discarded", "Reserve two?": "reserve"}


async def test_discards_at_once_each_bring_one_in(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, *(f"Which door is number {number}?" for number in range(12)))
    ids = list((await ids_by_text(engine, name)).values())
    await set_state(engine, "reserve", *ids[6:])
    await asyncio.gather(*(discard_question(engine, each) for each in ids[:6]))
    assert sorted((await states(engine, name)).values()) == ["discarded"] * 6 + ["selected"] * 6


async def test_a_restored_question_takes_its_place_back_only_while_it_is_free(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "First of all?", "Second of all?")
    ids = await ids_by_text(engine, name)
    async with engine.begin() as conn:
        dataset_id = (await conn.execute(select(dataset.c.id).where(dataset.c.name == name))).scalar_one()
        job_id = await make_job(conn, dataset_id)
        cell = {"domain": "math", "difficulty": "easy", "target": 1, "mean_tokens": 15}
        await conn.execute(insert(job_cell).values(job_id=job_id, **cell))
    await finish_jobs(engine)
    await set_state(engine, "reserve", ids["Second of all?"])
    await discard_question(engine, ids["First of all?"])
    assert (await restore_question(engine, ids["First of all?"]))["state"] == "reserve"
    await discard_question(engine, ids["First of all?"])
    await discard_question(engine, ids["Second of all?"])
    assert (await restore_question(engine, ids["First of all?"]))["state"] == "selected"
    with pytest.raises(Conflict, match="neither discarded nor rejected"):
        await restore_question(engine, ids["First of all?"])


async def test_without_any_plan_a_restored_question_is_selected(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Only one?")
    [question_id] = (await ids_by_text(engine, name)).values()
    await discard_question(engine, question_id)
    assert (await restore_question(engine, question_id))["state"] == "selected"


async def test_a_person_overrules_the_judges(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Thrown out?", "Unanswered?", "Both?")
    ids = await ids_by_text(engine, name)
    rejected = {"state": "rejected", "tries": 2}
    await change(engine, ids["Thrown out?"], **rejected, reason="not clear")
    await change(engine, ids["Unanswered?"], **rejected, reason="no answer in 3 calls", validated=True)
    await change(engine, ids["Both?"], **rejected, reason="not safe")
    await discard_question(engine, ids["Both?"])
    for question_id in ids.values():
        back = await restore_question(engine, question_id)
        told = [back[field] for field in ("state", "validated", "answered", "reason")]
        assert told == ["selected", True, False, None]
    async with engine.connect() as conn:
        tries = await conn.execute(select(question.c.tries).where(question.c.id.in_(ids.values())))
        assert set(tries.scalars()) == {0}


async def test_what_was_discarded_unjudged_comes_back_unjudged(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Nobody judged me?")
    [question_id] = (await ids_by_text(engine, name)).values()
    await discard_question(engine, question_id)
    assert not (await restore_question(engine, question_id))["validated"]


async def test_the_place_goes_to_what_is_answered_first(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Leaves now?", *(f"Who waits at gate {number}?" for number in range(6)))
    ids = await ids_by_text(engine, name)
    leaves = ids.pop("Leaves now?")
    await set_state(engine, "reserve", *ids.values())
    for number in (2, 4):
        await change(engine, ids[f"Who waits at gate {number}?"], validated=True)
    await change(engine, ids["Who waits at gate 4?"], answered=True)
    await discard_question(engine, leaves)
    assert (await states(engine, name))["Who waits at gate 4?"] == "selected"


async def test_where_no_job_answers_any_more_the_place_waits_for_an_answered_question(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Leaves now?", "Nobody answered me?")
    ids = await ids_by_text(engine, name)
    await set_state(engine, "reserve", ids["Nobody answered me?"])
    await change(engine, ids["Leaves now?"], validated=True, answered=True)
    await discard_question(engine, ids["Leaves now?"])
    assert (await states(engine, name))["Nobody answered me?"] == "reserve"
    assert (await restore_question(engine, ids["Leaves now?"]))["state"] == "selected"


async def test_a_running_job_answers_what_takes_the_place(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Leaves now?", "Nobody answered me yet?")
    ids = await ids_by_text(engine, name)
    await set_state(engine, "reserve", ids["Nobody answered me yet?"])
    await change(engine, ids["Leaves now?"], validated=True, answered=True)
    async with engine.begin() as conn:
        dataset_id = (await conn.execute(select(dataset.c.id).where(dataset.c.name == name))).scalar_one()
        await make_job(conn, dataset_id)
    await discard_question(engine, ids["Leaves now?"])
    assert (await states(engine, name))["Nobody answered me yet?"] == "selected"
    await finish_jobs(engine)
