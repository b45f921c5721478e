import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus import near_duplicates
from shared.corpus.near_duplicates import MOST_CHARACTERS_COMPARED, MOST_MEMBERS_SHOWN, report_near_duplicates
from shared.errors import NotFound
from tests.service.corpus.test_datasets import ids_by_text, make_questions
from tests.service.factories import admit_reply, make_hold

names = (f"near-{number}" for number in count())
HEN = "Why would a grey hen cross the narrow road behind the mill at noon?"
HEN_TODAY = "Why would a grey hen cross the narrow road behind the mill at noon today?"
HEN_AGAIN = "Why would a grey hen cross the narrow road behind the old mill at noon today?"
HEN_ELSEWHERE = "Why would a grey hen cross the wide road behind the mill at noon?"
FOX = "Which of the two foxes would a careful farmer let into the barn in winter?"
FOX_OR_SO = "Which of the two foxes would a careful farmer let into a barn in winter?"
RIVER = "Name the longest river that flows north through a desert."


async def read(engine: AsyncEngine, name: str, *, most_clusters: int = 100) -> list[tuple[str, dict[str, Any]]]:
    lines = [json.loads(line) async for line in report_near_duplicates(engine, name, most_clusters=most_clusters)]
    return [item for line in lines for item in line.items()]


def only(lines: list[tuple[str, dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    return [content for each, content in lines if each == kind]


async def test_clusters_of_a_baseline_with_their_members(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, HEN, FOX, RIVER, HEN_TODAY)
    await make_questions(engine, name, FOX_OR_SO, HEN_AGAIN, domain="reading")
    lines = await read(engine, name)
    (report,) = only(lines, "report")
    assert (report["questions"], report["in_clusters"], report["clusters"], report["largest"]) == (6, 5, 2, 3)
    assert report["cells"] == [
        {"domain": "math", "difficulty": "easy", "questions": 3},
        {"domain": "reading", "difficulty": "easy", "questions": 2},
    ]
    assert report["sources"] == [{"source": "baseline", "questions": 5}]
    hens, foxes = only(lines, "cluster")
    ids = await ids_by_text(engine, name)
    assert [(each["id"], each["text"]) for each in hens["members"]] == [
        (ids[each], each) for each in (HEN, HEN_TODAY, HEN_AGAIN)
    ]
    assert [each["domain"] for each in foxes["members"]] == ["math", "reading"]
    assert (hens["size"], hens["members"][0]["similarity"]) == (3, 1.0)
    assert 1 > hens["members"][1]["similarity"] > hens["members"][2]["similarity"] > 0.75
    assert lines[-1] == ("end", {"clusters": 2})


async def test_what_a_guard_tells_apart_is_counted_and_in_no_cluster(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, HEN, HEN_ELSEWHERE, *(f"How long do {n} hens take to cross it?" for n in "123"))
    (report,) = only(await read(engine, name), "report")
    assert (report["clusters"], report["in_clusters"], report["largest"], report["pairs"]["near"]) == (0, 0, 0, 0)
    assert report["told_apart"] == {"numbers": 3, "polarity": 1}


async def test_questions_of_a_job_are_named_by_it(engine: AsyncEngine) -> None:
    name = next(names)
    async with engine.begin() as conn:
        hold = await make_hold(conn, name)
        await admit_reply(conn, hold, HEN)
        await conn.execute(text("UPDATE job SET state = 'succeeded', finished_at = now()"))
    await make_questions(engine, name, HEN_TODAY)
    (report,) = only(await read(engine, name), "report")
    assert report["sources"] == [
        {"source": str(hold.job_id), "questions": 1},
        {"source": "baseline", "questions": 1},
    ]


async def test_an_empty_dataset_has_an_empty_report(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, HEN)
    async with engine.begin() as conn:
        await conn.execute(text("DELETE FROM question"))
        await conn.execute(text("DELETE FROM question_band"))
    lines = await read(engine, name)
    assert only(lines, "report")[0]["questions"] == 0
    assert lines[-1] == ("end", {"clusters": 0})
    with pytest.raises(NotFound):
        await read(engine, "nobody's")


async def test_questions_without_a_sketch_are_compared(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, HEN, HEN_TODAY)
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE question SET sketch = NULL"))
    assert only(await read(engine, name), "report")[0]["largest"] == 2


async def test_a_text_beyond_the_bound_is_counted_instead_of_compared(engine: AsyncEngine) -> None:
    name = next(names)
    long = " ".join(f"hen{number}" for number in range(MOST_CHARACTERS_COMPARED // 6))
    await make_questions(engine, name, long, f"{long} again")
    (report,) = only(await read(engine, name), "report")
    assert (report["too_long"], report["clusters"]) == (1, 0)


async def test_a_dataset_of_one_template_is_done_in_pieces(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("QUESTIONS_PER_CHUNK", "QUESTIONS_PER_SLICE", "PAIRS_PER_CHUNK"):
        monkeypatch.setattr(near_duplicates, bound, 7)
    name = next(names)
    marks = ["", "today", "now", "then", "so", "too", "also"]
    asked = [f"Which grey hen crosses the narrow road behind the mill at noon {a} {b}" for a in marks for b in marks]
    await make_questions(engine, name, *dict.fromkeys(" ".join(each.split()) for each in asked))
    lines = await read(engine, name, most_clusters=1)
    (report,) = only(lines, "report")
    (cluster,) = only(lines, "cluster")
    assert report["largest"] == cluster["size"] > 30
    assert len(cluster["members"]) == min(cluster["size"], MOST_MEMBERS_SHOWN)
    for phase in ("reading", "pairing", "comparing"):
        done = [each["done"] for each in only(lines, "progress") if each["phase"] == phase]
        assert len(done) > 1
        assert done == sorted(done)


async def test_a_reader_that_leaves_ends_the_transaction(engine: AsyncEngine) -> None:
    name = next(names)
    await make_questions(engine, name, HEN, HEN_TODAY)
    lines = report_near_duplicates(engine, name, most_clusters=1)
    for _ in range(2):
        await anext(lines)
    assert isinstance(lines, AsyncGenerator)
    async with asyncio.timeout(5):
        await lines.aclose()
    async with engine.connect() as conn:
        open_ones = await conn.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = :name"),
            {"name": engine.url.database},
        )
        assert open_ones.scalar_one() == 0
