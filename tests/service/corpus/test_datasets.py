import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import orjson
import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.baseline import import_baseline
from shared.corpus.datasets import (
    browse_questions,
    delete_dataset,
    describe_dataset,
    discard_question,
    find_duplicates,
    list_datasets,
    restore_question,
)
from shared.database.fence import Hold, confirm_hold
from shared.database.states import JobState
from shared.database.tables import dataset, job, job_cell, metadata, prompt_cursor, question
from shared.errors import Conflict, NotFound
from shared.ids import QuestionId
from tests.service.factories import admit_reply, make_dataset, make_hold, make_job

names = (f"datasets-{number}" for number in count())


async def make_questions(engine: AsyncEngine, name: str, *asked: str, domain: str = "math", **fields: object) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for each in asked:
            yield orjson.dumps({"question": each, "domain": domain, "difficulty": "easy", **fields}) + b"\n"

    await import_baseline(engine, name, chunks())


async def browse(engine: AsyncEngine, name: str, **wanted: Any) -> list[dict[str, Any]]:
    everything: dict[str, Any] = {"domain": None, "difficulty": None, "selected": None, "text": None}
    return await browse_questions(engine, name, **{**everything, "after": None, "limit": 100, **wanted})


async def ids_by_text(engine: AsyncEngine, name: str) -> dict[str, QuestionId]:
    return {row["question"]: QuestionId(row["id"]) for row in await browse(engine, name)}


async def states(engine: AsyncEngine, name: str) -> dict[str, str]:
    return {row["question"]: row["state"] for row in await browse(engine, name)}


async def set_state(engine: AsyncEngine, state: str, *question_ids: QuestionId) -> None:
    async with engine.begin() as conn:
        await conn.execute(update(question).where(question.c.id.in_(question_ids)).values(state=state))


async def finish_jobs(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        ended = {"state": JobState.SUCCEEDED, "finished_at": func.now()}
        await conn.execute(update(job).where(job.c.finished_at.is_(None)).values(**ended))


async def admitted(engine: AsyncEngine, name: str, *asked: str) -> Hold:
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        await confirm_hold(conn, hold)
        await admit_reply(conn, hold, *asked)
    return hold


async def test_a_dataset_is_described_per_cell_and_state(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Why is it so?", "Who was it?", "Where is that?")
    await make_questions(engine, name, "Read this aloud?", domain="Reading")
    ids = await ids_by_text(engine, name)
    await set_state(engine, "reserve", ids["Who was it?"])
    await set_state(engine, "discarded", ids["Where is that?"])
    described = await describe_dataset(engine, name)
    assert described["questions"] == {"selected": 2, "reserve": 1, "discarded": 1}
    assert [(cell["domain"], cell["selected"], cell["reserve"], cell["discarded"]) for cell in described["cells"]] == [
        ("math", 1, 1, 1),
        ("reading", 1, 0, 0),
    ]
    tokens = sum(row["prompt_tokens"] for row in await browse(engine, name, selected=True))
    assert described["tokens"] == {"prompt": tokens, "completion": 0}
    [listed] = [each for each in await list_datasets(engine) if each["name"] == name]
    assert (listed["questions"], listed["selected"], listed["unfinished_job"]) == (4, 2, None)


async def test_pages_are_stable_while_questions_arrive(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, *(f"What is kept in box {number}?" for number in range(10)))
    first = await browse(engine, name, limit=4)
    await make_questions(engine, name, "A late question?")
    second = await browse(engine, name, limit=4, after=first[-1]["id"])
    third = await browse(engine, name, limit=4, after=second[-1]["id"])
    seen = [row["question"] for row in (*first, *second, *third)]
    assert seen == [*(f"What is kept in box {number}?" for number in range(10)), "A late question?"]


async def test_filters_read_their_words_as_they_are(engine: AsyncEngine) -> None:
    name = next(names)
    asked = ("Is 50% of it_all C:\\temp?", "Is 500 of it all?", "Is it'; DROP TABLE question; --?")
    await make_questions(engine, name, *asked, domain="Tool_Use", n=1e22)
    for wanted, found in (
        ("50%", asked[:1]),
        ("IT_ALL", asked[:1]),
        ("c:\\t", asked[:1]),
        ("it';", asked[2:]),
        ("%", asked[:1]),
    ):
        assert tuple(row["question"] for row in await browse(engine, name, text=wanted)) == found
    assert len(await browse(engine, name, domain="tool-use", difficulty="EASY", selected=True)) == 3
    assert await browse(engine, name, domain="math") == []
    assert await browse(engine, name, selected=False) == []
    assert (await browse(engine, name))[0]["metadata"] == {"n": 1e22}


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
    with pytest.raises(Conflict, match="not discarded"):
        await restore_question(engine, ids["First of all?"])


async def test_without_any_plan_a_restored_question_is_selected(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Only one?")
    [question_id] = (await ids_by_text(engine, name)).values()
    await discard_question(engine, question_id)
    assert (await restore_question(engine, question_id))["state"] == "selected"


async def test_texts_are_judged_like_candidates(engine: AsyncEngine) -> None:
    name = next(names)
    boiled = "Why does an egg harden when it is boiled in water for several minutes?"
    await make_questions(engine, name, boiled, "What is 12 + 5 if the sum is written in words?")
    ids = await ids_by_text(engine, name)
    texts = [
        f"Q: {boiled.upper()}",
        boiled.replace("?", " then?"),
        "What is 12 + 7 if the sum is written in words?",
        "New?",
    ]
    found = await find_duplicates(engine, name, [*texts, "new"])
    assert [each["verdict"] for each in found] == ["exact", "near", "new", "new", "exact"]
    assert [each["question_id"] for each in found[:2]] == [ids[boiled]] * 2
    assert found[2]["guard"] == "numbers"
    assert await find_duplicates(engine, name, []) == []


async def test_asking_answers_as_admission_would(engine: AsyncEngine) -> None:
    name = next(names)
    boiled = "Why does an egg harden when it is boiled in water for several minutes?"
    hold = await admitted(engine, name, boiled, "What is 12 + 5?")
    ids = await ids_by_text(engine, name)
    asked = [boiled + "??", boiled.replace("?", " then?"), "What is 12 + 7?", "Name a planet.", "name a planet"]
    found = await find_duplicates(engine, name, asked)
    assert [each["verdict"] for each in found] == ["exact", "near", "new", "new", "exact"]
    assert [each["question_id"] for each in found] == [ids[boiled], ids[boiled], ids["What is 12 + 5?"], None, None]
    async with engine.begin() as conn:
        await confirm_hold(conn, hold)
        outcome = await admit_reply(conn, hold, *asked)
    assert [each.candidate.text for each in outcome.refused] == [asked[0], asked[1], asked[4]]


async def test_a_dataset_with_an_unfinished_job_is_not_deleted(engine: AsyncEngine) -> None:
    name = next(names)
    hold = await admitted(engine, name, "Still here?")
    with pytest.raises(Conflict, match=str(hold.job_id)):
        await delete_dataset(engine, name)
    assert await states(engine, name) == {"Still here?": "selected"}


async def test_a_deleted_dataset_leaves_no_row_and_takes_no_other(engine: AsyncEngine) -> None:
    name, other = next(names), next(names)
    await finish_jobs(engine)
    for listed in await list_datasets(engine):
        await delete_dataset(engine, listed["name"])
    await make_questions(engine, other, "Mine to keep?")
    hold = await admitted(engine, name, "Made by a model?", "made by a model")
    async with engine.begin() as conn:
        await conn.execute(
            insert(prompt_cursor).values(dataset_id=hold.dataset_id, domain="math", difficulty="easy", next_ordinal=5)
        )
    await finish_jobs(engine)
    await delete_dataset(engine, name)
    async with engine.connect() as conn:
        rows = {
            each.name: (await conn.execute(select(func.count()).select_from(each))).scalar_one()
            for each in metadata.sorted_tables
        }
    assert {each: number for each, number in rows.items() if number} == {
        "dataset": 1,
        "question": 1,
        "question_band": 12,
        "question_change": 1,
    }
    assert await states(engine, other) == {"Mine to keep?": "selected"}
    async with engine.begin() as conn:
        await make_dataset(conn, name)
    assert await browse(engine, name) == []


async def test_what_is_not_there_is_not_found(engine: AsyncEngine) -> None:
    for asked in (
        describe_dataset(engine, "nowhere"),
        browse(engine, "nowhere"),
        delete_dataset(engine, "nowhere"),
        find_duplicates(engine, "nowhere", ["Why?"]),
    ):
        with pytest.raises(NotFound, match="there is no dataset nowhere"):
            await asked
    for change in (discard_question, restore_question):
        with pytest.raises(NotFound, match="there is no question"):
            await change(engine, QuestionId(2**62))
    async with engine.connect() as conn:
        assert (await conn.execute(text("SELECT count(*) FROM dataset WHERE name = 'nowhere'"))).scalar_one() == 0
