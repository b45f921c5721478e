import io
import json
import random
from collections.abc import AsyncIterator
from itertools import count, groupby

import orjson
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.baseline import import_baseline
from shared.corpus.export import PARQUET_SCHEMA, export_jsonl, export_parquet, schema_of
from shared.corpus.export_rows import Extent
from shared.database.fence import confirm_hold
from shared.errors import NotFound
from shared.questions.judging import CRITERIA
from shared.questions.tokens import count_tokens
from tests.service.factories import MODEL, add_answer, add_verdict, admit_reply, make_hold, set_spec

names = (f"export-{number}" for number in count())
ODD = "Show $\\frac{1}{2} \\times \\nabla\\beta$\nfor \u201cx\u201d \u2028 🥚\t\\u0041?"


async def make_questions(engine: AsyncEngine, name: str, asked: dict[str, str], **fields: object) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for each, domain in asked.items():
            yield orjson.dumps({"question": each, "domain": domain, "difficulty": "easy", **fields}) + b"\n"

    await import_baseline(engine, name, chunks())


async def exported(engine: AsyncEngine, name: str, seed: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in export_jsonl(engine, name, seed)])


def questions_in(data: bytes) -> list[str]:
    return [json.loads(line)["question"] for line in data.splitlines()]


async def in_transaction(engine: AsyncEngine) -> list[str]:
    """The last statements of the transactions that are open."""
    async with engine.connect() as conn:
        rows = await conn.execute(
            text("""
                SELECT query FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'
            """)
        )
        return list(rows.scalars())


async def test_the_same_questions_give_the_same_order_and_new_ones_move_none(engine: AsyncEngine) -> None:
    asked = {f"How far is stop {number} from the last one?": "math" for number in range(500)}
    shuffled = dict(random.Random(3).sample(sorted(asked.items()), len(asked)))
    first, second = next(names), next(names)
    await make_questions(engine, first, asked)
    await make_questions(engine, second, shuffled)
    before = await exported(engine, first)
    assert await exported(engine, first) == before
    assert questions_in(await exported(engine, second)) == questions_in(before)
    assert questions_in(before) != list(asked)

    await make_questions(engine, first, {f"Who waits at stop {number}?": "math" for number in range(300)})
    after = questions_in(await exported(engine, first))
    assert len(after) == 800
    assert [each for each in after if each in asked] == questions_in(before)


async def test_a_seed_gives_another_order_of_the_same_questions(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, {f"Which bird sings at {number} o'clock?": "math" for number in range(100)})
    own, other = questions_in(await exported(engine, name)), questions_in(await exported(engine, name, 7))
    assert own != other
    assert sorted(own) == sorted(other)
    assert questions_in(await exported(engine, name, 7)) == other


async def test_domains_do_not_cluster(engine: AsyncEngine) -> None:
    name = next(names)
    domains = [f"domain {number}" for number in range(8)]
    await make_questions(
        engine, name, {f"Question of row {row} about it?": domains[row * 8 // 4_000] for row in range(4_000)}
    )
    order = [json.loads(line)["domain"] for line in (await exported(engine, name)).splitlines()]
    assert max(len(list(run)) for _, run in groupby(order)) < 10
    tenth = [order[:400].count(domain) for domain in domains]
    assert all(25 < share < 80 for share in tenth)


async def test_text_comes_back_byte_for_byte_in_both_formats(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(
        engine, name, {ODD: "reading", "Plain?": "math"}, tags=["Tag_One"], note={"tex": ODD, "n": 1e22}
    )
    rows = [json.loads(line) for line in (await exported(engine, name)).splitlines()]
    [odd] = [row for row in rows if row["domain"] == "reading"]
    assert odd["question"] == ODD
    assert odd["metadata"] == {"note": {"tex": ODD, "n": 10**22}}
    assert (odd["tags"], odd["source"], odd["model"], odd["call_id"]) == (["tag one"], "baseline", None, None)
    assert odd["created_at"].endswith("+00:00")

    file = b"".join([chunk async for chunk in export_parquet(engine, name)])
    table = pq.read_table(io.BytesIO(file))
    assert table.schema.equals(PARQUET_SCHEMA)
    assert [
        {**row, "created_at": row["created_at"].isoformat(), "metadata": json.loads(row["metadata"])}
        for row in table.to_pylist()
    ] == rows


async def test_parquet_in_many_groups_holds_what_jsonl_holds(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.corpus.export_rows.ROWS_PER_CHUNK", 50)
    monkeypatch.setattr("shared.corpus.export.ROWS_PER_GROUP", 100)
    name = next(names)
    await make_questions(engine, name, {f"What grows on hill {number}?": "math" for number in range(333)})
    pieces = [piece async for piece in export_parquet(engine, name)]
    assert len(pieces) == 4
    table = pq.read_table(io.BytesIO(b"".join(pieces)))
    assert table["question"].to_pylist() == questions_in(await exported(engine, name))


async def test_only_selected_questions_are_exported_and_an_empty_set_is_an_empty_file(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, {"Kept?": "math", "Reserve?": "math", "Gone?": "math"})
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE question SET state = 'reserve' WHERE text = 'Reserve?'"))
        await conn.execute(text("UPDATE question SET state = 'discarded' WHERE text = 'Gone?'"))
    assert questions_in(await exported(engine, name)) == ["Kept?"]
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE question SET state = 'reserve' WHERE text = 'Kept?'"))
    assert await exported(engine, name) == b""
    file = b"".join([chunk async for chunk in export_parquet(engine, name)])
    assert pq.read_table(io.BytesIO(file)).schema.equals(PARQUET_SCHEMA)


async def test_answers_and_verdicts_are_exported_with_their_questions(engine: AsyncEngine) -> None:
    name = next(names)
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        models = {"answer": {"easy": ["openai/first", "openai/a-second"]}}
        await set_spec(conn, hold.job_id, stages=["generate", "validate", "answer"], models=models)
        await confirm_hold(conn, hold)
        both, none = (await admit_reply(conn, hold, "Why is ice slippery?", "Who dug the canal?")).admitted
        await add_answer(conn, hold, both, "Other model.", model="openai/a-second")
        await add_answer(conn, hold, both, "Second sample.", model="openai/first", sample=1)
        await add_answer(conn, hold, both, "It melts: $\\frac{1}{2}$ \u2028 a film.", model="openai/first")
        for vote, clear in enumerate((5, 4, 4)):
            await add_verdict(conn, hold, both, vote=vote, clear=clear)
        await conn.execute(text("UPDATE question SET validated = true WHERE id = :id"), {"id": both})
    rows = {row["id"]: row for row in map(json.loads, (await exported(engine, name)).splitlines())}
    told = ("answer", "answer_model", "verdict", "scores", "prompt_version")
    assert [rows[none][field] for field in (*told, "completion_tokens")] == [None] * 6
    scores = {"clear": 4.333, **dict.fromkeys(CRITERIA[1:], 5.0)}
    first = "It melts: $\\frac{1}{2}$ \u2028 a film."
    assert [rows[both][field] for field in told] == [first, "openai/first", "accepted", scores, None]
    assert rows[both]["completion_tokens"] == count_tokens(first)

    lines = b"".join([chunk async for chunk in export_jsonl(engine, name, all_answers=True)]).splitlines()
    every = {row["id"]: row["answers"] for row in map(json.loads, lines)}
    assert every[none] == []
    assert [(each["model"], each["sample"], each["text"]) for each in every[both]] == [
        ("openai/first", 0, first), ("openai/first", 1, "Second sample."), ("openai/a-second", 0, "Other model."),
    ]  # fmt: skip
    assert every[both][0]["tokens"] == rows[both]["completion_tokens"]

    file = b"".join([chunk async for chunk in export_parquet(engine, name, all_answers=True)])
    table = pq.read_table(io.BytesIO(file))
    assert table.schema.equals(schema_of(Extent(all_answers=True)))
    assert [{**row, "created_at": row["created_at"].isoformat()} for row in table.to_pylist()] == [
        json.loads(line) for line in lines
    ]
    assert await exported(engine, name) == await exported(engine, name)


async def test_of_several_first_answers_the_newest_is_exported_and_the_order_stays(engine: AsyncEngine) -> None:
    name = next(names)
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        await confirm_hold(conn, hold)
        asked = (f"What is seen from tower {number} of {'abcdefghijkl'[number]}?" for number in range(12))
        ids = (await admit_reply(conn, hold, *asked, template_cap=20)).admitted
    before = questions_in(await exported(engine, name))
    async with engine.begin() as conn:
        await set_spec(conn, hold.job_id, stages=["answer"], models={"answer": {"easy": MODEL}})
        for question_id in ids[::2]:
            await add_answer(conn, hold, question_id, "Old.", version="answer-1-old")
    async with engine.begin() as conn:
        for question_id in ids[::2]:
            await add_answer(conn, hold, question_id, "New.", version="answer-1-new")
    rows = [json.loads(line) for line in (await exported(engine, name)).splitlines()]
    assert [row["question"] for row in rows] == before
    assert {row["id"]: row["answer"] for row in rows} == {
        each: None if place % 2 else "New." for place, each in enumerate(ids)
    }


async def test_long_answers_fill_a_group_before_its_rows_do(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.corpus.export_rows.ROWS_PER_CHUNK", 2)
    monkeypatch.setattr("shared.corpus.export.CHARACTERS_PER_GROUP", 1_000)
    name = next(names)
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        await set_spec(conn, hold.job_id, stages=["answer"], models={"answer": {"easy": MODEL}})
        await confirm_hold(conn, hold)
        asked = ("Why is ice slippery?", "Who dug the canal?", "What do bees eat?", "Where do rivers end?")
        for question_id in (await admit_reply(conn, hold, *asked)).admitted:
            await add_answer(conn, hold, question_id, "long " * 200)
    pieces = [piece async for piece in export_parquet(engine, name)]
    assert len(pieces) == 3
    assert pq.read_table(io.BytesIO(b"".join(pieces))).num_rows == 4


async def test_rows_come_through_a_server_side_cursor_and_a_reader_may_stop_early(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.corpus.export_rows.ROWS_PER_CHUNK", 10)
    name = next(names)
    await make_questions(engine, name, {f"Which lamp is lit in room {number}?": "math" for number in range(100)})
    for export in (export_jsonl, export_parquet):
        monkeypatch.setattr("shared.corpus.export.ROWS_PER_GROUP", 10)
        chunks = export(engine, name)
        await anext(chunks)
        [query] = await in_transaction(engine)
        assert "FETCH FORWARD" in query
        await chunks.aclose()  # type: ignore[attr-defined]
        assert await in_transaction(engine) == []


async def test_a_dataset_that_is_not_there(engine: AsyncEngine) -> None:
    for export in (export_jsonl, export_parquet):
        with pytest.raises(NotFound, match="there is no dataset nowhere"):
            await anext(export(engine, "nowhere"))
