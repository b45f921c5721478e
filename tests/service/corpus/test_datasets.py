from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import orjson
import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.baseline import import_baseline
from shared.corpus.browse import Kind, browse_questions
from shared.corpus.by_hand import discard_question, restore_question
from shared.corpus.datasets import delete_dataset, describe_dataset, find_duplicates, list_datasets
from shared.corpus.provenance import read_provenance
from shared.database.fence import Hold, confirm_hold
from shared.database.states import JobState, QuestionState
from shared.database.tables import job, metadata, prompt_cursor, question
from shared.errors import Conflict, NotFound
from shared.ids import QuestionId
from tests.service.factories import admit_reply, make_dataset, make_hold

names = (f"datasets-{number}" for number in count())


async def make_questions(engine: AsyncEngine, name: str, *asked: str, domain: str = "math", **fields: object) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for each in asked:
            yield orjson.dumps({"question": each, "domain": domain, "difficulty": "easy", **fields}) + b"\n"

    await import_baseline(engine, name, chunks())


async def browse(engine: AsyncEngine, name: str, **wanted: Any) -> list[dict[str, Any]]:
    how: dict[str, Any] = {"text": None, "after": None, "limit": 100}
    how |= {key: wanted.pop(key) for key in list(wanted) if key in how}
    return (await browse_questions(engine, name, Kind(**wanted), **how)).rows


async def ids_by_text(engine: AsyncEngine, name: str) -> dict[str, QuestionId]:
    return {row["question"]: QuestionId(row["id"]) for row in await browse(engine, name)}


async def states(engine: AsyncEngine, name: str) -> dict[str, str]:
    return {row["question"]: row["state"] for row in await browse(engine, name)}


async def set_state(engine: AsyncEngine, state: str, *question_ids: QuestionId) -> None:
    async with engine.begin() as conn:
        await conn.execute(update(question).where(question.c.id.in_(question_ids)).values(state=state))


async def change(engine: AsyncEngine, question_id: QuestionId, **values: object) -> None:
    async with engine.begin() as conn:
        await conn.execute(update(question).where(question.c.id == question_id).values(**values))


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
    await make_questions(engine, name, "Why is it so?", "Who was it?", "Where is that?", "What was that?")
    await make_questions(engine, name, "Read this aloud?", domain="Reading")
    ids = await ids_by_text(engine, name)
    await set_state(engine, "reserve", ids["Who was it?"])
    await set_state(engine, "discarded", ids["Where is that?"])
    answered = {"validated": True, "answered": True, "completion_tokens": 40}
    await change(engine, ids["Why is it so?"], **answered)
    await change(engine, ids["Who was it?"], **answered)
    await change(engine, ids["What was that?"], state="rejected", reason="not clear", completion_tokens=7)
    described = await describe_dataset(engine, name)
    assert described["questions"] == {"selected": 2, "reserve": 1, "discarded": 1, "rejected": 1}
    kinds = ("selected", "reserve", "discarded", "rejected", "validated", "answered", "completion_tokens")
    assert [(cell["domain"], [cell[kind] for kind in kinds]) for cell in described["cells"]] == [
        ("math", [1, 1, 1, 1, 1, 1, 40]),
        ("reading", [1, 0, 0, 0, 0, 0, 0]),
    ]
    tokens = sum(row["prompt_tokens"] for row in await browse(engine, name, selected=True))
    assert described["tokens"] == {"prompt": tokens, "completion": 40}
    [listed] = [each for each in await list_datasets(engine) if each["name"] == name]
    assert (listed["questions"], listed["selected"], listed["unfinished_job"]) == (5, 2, None)


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


async def test_questions_are_browsed_by_state_with_what_the_stages_made_of_them(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, "Kept so far?", "Thrown out?", "In reserve?")
    ids = await ids_by_text(engine, name)
    await change(engine, ids["Thrown out?"], state="rejected", reason="not safe: no", validated=False)
    await change(engine, ids["In reserve?"], state="reserve")
    await change(engine, ids["Kept so far?"], validated=True, answered=True, completion_tokens=9, prompt_version="v1")
    by_state = {state: await browse(engine, name, state=state) for state in QuestionState}
    assert {state: [row["question"] for row in rows] for state, rows in by_state.items()} == {
        "selected": ["Kept so far?"], "reserve": ["In reserve?"], "discarded": [], "rejected": ["Thrown out?"],
    }  # fmt: skip
    fields = ("validated", "answered", "reason", "completion_tokens", "prompt_version")
    [kept], [rejected] = by_state[QuestionState.SELECTED], by_state[QuestionState.REJECTED]
    assert [kept[field] for field in fields] == [True, True, None, 9, "v1"]
    assert [rejected[field] for field in fields] == [False, False, "not safe: no", None, None]


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
    for look in (discard_question, restore_question, read_provenance):
        with pytest.raises(NotFound, match="there is no question"):
            await look(engine, QuestionId(2**62))
    async with engine.connect() as conn:
        assert (await conn.execute(text("SELECT count(*) FROM dataset WHERE name = 'nowhere'"))).scalar_one() == 0
