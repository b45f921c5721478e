import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus import decontaminate as decontaminate_module
from shared.corpus.baseline import import_baseline
from shared.corpus.contaminated import browse_contaminated, clear_question, flag_again, flag_questions
from shared.corpus.datasets import delete_dataset, describe_dataset
from shared.corpus.decontaminate import decontaminate, remove_benchmark
from shared.corpus.duplicates import Refusal
from shared.corpus.export import export_jsonl
from shared.database.fence import Hold, confirm_hold
from shared.database.tables import (
    benchmark,
    benchmark_item,
    benchmark_key,
    contamination,
    question,
    rejection,
)
from shared.errors import BadUpload, Conflict, NotFound
from shared.ids import DatasetId, QuestionId
from tests.service.factories import admit_reply, make_hold

CELL = {"domain": "math", "difficulty": "easy"}
names = (f"guarded-{number}" for number in count())

SUM, SHEEP, RIVER = (
    "What is 12 + 5?",
    "How many sheep stay behind when 9 of 17 run away?",
    "Name a planet without rivers.",
)
TESTS = {"s/1": SUM, "s/2": SHEEP}


async def lines(*rows: dict[str, Any] | str) -> AsyncIterator[bytes]:
    for row in rows:
        yield (row.encode() if isinstance(row, str) else orjson.dumps(row)) + b"\n"


def items(tests: dict[str, str]) -> AsyncIterator[bytes]:
    return lines(*({"id": reference, "question": each} for reference, each in tests.items()))


async def load(engine: AsyncEngine, name: str, tests: dict[str, str] = TESTS, **options: Any) -> dict[str, Any]:
    return await decontaminate(engine, name, options.pop("benchmark", "tests"), items(tests), **options)


async def fill(engine: AsyncEngine, name: str, *asked: str) -> None:
    rows = ({"question": each, "domain": "math", "difficulty": "easy"} for each in asked)
    await import_baseline(engine, name, lines(*rows))


async def flagged(engine: AsyncEngine, name: str, *, cleared: bool = False) -> dict[str, list[tuple[str, str]]]:
    rows = await browse_contaminated(engine, name, benchmark=None, cleared=cleared, after=None, limit=100)
    return {row["question"]: [(each["item"], each["kind"]) for each in row["matches"]] for row in rows}


async def exported(engine: AsyncEngine, name: str, **options: Any) -> list[dict[str, Any]]:
    whole = b"".join([chunk async for chunk in export_jsonl(engine, name, **options)])
    return [json.loads(line) for line in whole.splitlines()]


async def questions(engine: AsyncEngine, name: str) -> set[str]:
    return {row["question"] for row in await exported(engine, name)}


async def id_of(engine: AsyncEngine, asked: str, name: str) -> QuestionId:
    found = await browse_contaminated(engine, name, benchmark=None, cleared=False, after=None, limit=100)
    return next(QuestionId(row["id"]) for row in found if row["question"] == asked)


async def holding(engine: AsyncEngine, name: str) -> Hold:
    async with engine.begin() as conn:
        return await make_hold(conn, name)


async def admit(engine: AsyncEngine, hold: Hold, *asked: str) -> dict[str, Refusal]:
    """What was refused, and why."""
    async with engine.begin() as conn:
        await confirm_hold(conn, hold)
        outcome = await admit_reply(conn, hold, *asked)
    return {each.candidate.text: each.reason for each in outcome.refused}


async def test_what_is_like_an_item_is_flagged_and_left_out_of_exports(engine: AsyncEngine) -> None:
    name = next(names)
    await fill(engine, name, "Q: what is 12 + 5", "What is 3 + 400?", f"Think hard. {SHEEP}", RIVER, "What is 12 - 5?")
    report = await load(engine, name, source="tests.jsonl")
    assert report["flagged"] == {"exact": 1, "numbers": 1, "sentence": 1}
    assert (report["items"], report["compared"], report["left_out"], report["changed"]) == (2, 5, 3, True)
    assert report["cells"] == [{**CELL, "selected": 3, "reserve": 0, "discarded": 0, "rejected": 0}]
    assert await flagged(engine, name) == {
        "Q: what is 12 + 5": [("s/1", "exact")],
        "What is 3 + 400?": [("s/1", "numbers")],
        f"Think hard. {SHEEP}": [("s/2", "sentence")],
    }
    assert await questions(engine, name) == {RIVER, "What is 12 - 5?"}
    told = {row["question"]: row["contaminated"] for row in await exported(engine, name, contaminated=True)}
    assert len(told) == 5
    assert told[RIVER] is None
    assert told["What is 3 + 400?"] == [{"benchmark": "tests", "item": "s/1", "kind": "numbers", "score": 1}]
    described = (await describe_dataset(engine, name))["contamination"]
    assert described["left_out"] == 3
    assert [(each["name"], each["source"], each["items"], each["flagged"]) for each in described["benchmarks"]] == [
        ("tests", "tests.jsonl", 2, report["flagged"])
    ]


async def test_no_text_of_a_benchmark_is_stored(engine: AsyncEngine) -> None:
    name = next(names)
    await load(engine, name, {"s/1": SUM, "s/2": "Which zebra ate the quince of the archbishop yesterday?"})
    async with engine.connect() as conn:
        for table in (benchmark, benchmark_item, benchmark_key, contamination):
            stored = str((await conn.execute(select(table))).all()).lower()
            for word in ("zebra", "quince", "archbishop"):
                assert word not in stored


async def test_the_same_set_again_changes_nothing_and_another_replaces_it(engine: AsyncEngine) -> None:
    name = next(names)
    await fill(engine, name, "What is 3 + 400?", "How many sheep stay behind when 2 of 3 run away?", RIVER)
    first = await load(engine, name)
    again = await load(engine, name)
    assert (first["changed"], again["changed"]) == (True, False)
    assert again["flagged"] == first["flagged"] == {"numbers": 2}
    replaced = await load(engine, name, {"r/1": RIVER})
    assert (replaced["changed"], replaced["flagged"]) == (True, {"exact": 1})
    assert await flagged(engine, name) == {RIVER: [("r/1", "exact")]}
    async with engine.connect() as conn:
        orphans = text("SELECT count(*) FROM benchmark_key WHERE item_id NOT IN (SELECT id FROM benchmark_item)")
        assert (await conn.execute(orphans)).scalar_one() == 0


async def test_two_sets_flag_one_question_once_each(engine: AsyncEngine) -> None:
    name = next(names)
    await fill(engine, name, SUM, RIVER)
    await load(engine, name)
    report = await load(engine, name, {"o/9": "What is 8 + 8?", "r": RIVER}, benchmark="other")
    assert report["flagged"] == {"exact": 1, "numbers": 1}
    assert report["left_out"] == 2
    assert await flagged(engine, name) == {SUM: [("o/9", "numbers"), ("s/1", "exact")], RIVER: [("r", "exact")]}
    await remove_benchmark(engine, name, "other")
    assert await flagged(engine, name) == {SUM: [("s/1", "exact")]}
    assert await questions(engine, name) == {RIVER}
    with pytest.raises(NotFound, match="has no benchmark other"):
        await remove_benchmark(engine, name, "other")


async def test_a_cleared_question_is_exported_and_not_flagged_again(engine: AsyncEngine) -> None:
    name = next(names)
    await fill(engine, name, "What is 3 + 400?", RIVER)
    await load(engine, name)
    question_id = await id_of(engine, "What is 3 + 400?", name)
    shown = await clear_question(engine, question_id)
    assert (shown["id"], shown["question"]) == (question_id, "What is 3 + 400?")
    assert shown["matches"][0]["cleared_at"] is not None
    assert await questions(engine, name) == {"What is 3 + 400?", RIVER}
    again = await load(engine, name, {**TESTS, "s/3": "A new one about nothing at all?"})
    assert (again["changed"], again["flagged"], again["cleared"], again["left_out"]) == (True, {}, 1, 0)
    assert await flagged(engine, name, cleared=True) == {"What is 3 + 400?": [("s/1", "numbers")]}
    with pytest.raises(Conflict, match="is not flagged"):
        await clear_question(engine, question_id)
    await flag_again(engine, question_id)
    assert await questions(engine, name) == {RIVER}
    with pytest.raises(Conflict, match="was not cleared"):
        await flag_again(engine, question_id)
    with pytest.raises(NotFound):
        await clear_question(engine, QuestionId(2**62))


async def test_discarding_gives_the_places_to_the_reserve(engine: AsyncEngine) -> None:
    name = next(names)
    await fill(engine, name, SUM, "What is 1 + 1?", RIVER, "Who reads this?")
    async with engine.begin() as conn:
        await conn.execute(update(question).where(question.c.text == "Who reads this?").values(state="reserve"))
    report = await load(engine, name, discard=True)
    assert (report["discarded"], report["left_out"]) == (2, 0)
    assert report["cells"] == [{**CELL, "selected": 0, "reserve": 0, "discarded": 2, "rejected": 0}]
    assert await questions(engine, name) == {RIVER, "Who reads this?"}


async def test_what_is_imported_later_is_flagged(engine: AsyncEngine) -> None:
    name = next(names)
    await load(engine, name)
    chunks = lines(
        *({"question": each, "domain": "math", "difficulty": "easy"} for each in ("What is 3 + 400?", RIVER))
    )
    report = await import_baseline(engine, name, chunks)
    assert (report.imported, report.contaminated) == (2, 1)
    assert await questions(engine, name) == {RIVER}


async def test_candidates_are_refused_with_what_they_match(engine: AsyncEngine) -> None:
    name = next(names)
    hold = await holding(engine, name)
    await load(engine, name)
    refused = await admit(engine, hold, SUM, "What is 8 + 80?", RIVER, "What is 12 - 5?", RIVER)
    assert refused == {SUM: Refusal.CONTAMINATED, "What is 8 + 80?": Refusal.CONTAMINATED, RIVER: Refusal.EXACT}
    async with engine.connect() as conn:
        recorded = select(rejection.c.text, rejection.c.reason, rejection.c.matched).where(
            rejection.c.job_id == hold.job_id, rejection.c.reason == "contaminated"
        )
        assert sorted((await conn.execute(recorded)).all()) == [
            (SUM, "contaminated", "tests s/1 (exact)"),
            ("What is 8 + 80?", "contaminated", "tests s/1 (numbers)"),
        ]
    assert await questions(engine, name) == {RIVER, "What is 12 - 5?"}
    assert await flagged(engine, name) == {}


async def test_another_dataset_is_not_guarded(engine: AsyncEngine) -> None:
    await load(engine, next(names))
    assert await admit(engine, await holding(engine, next(names)), SUM) == {}


async def test_nothing_slips_past_a_set_that_is_being_loaded(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is admitted while the dataset is compared is compared too; what waits for the load meets the set."""
    name = next(names)
    hold = await holding(engine, name)
    await admit(engine, hold, RIVER)
    compared, admitted = asyncio.Event(), asyncio.Event()

    async def flag_and_wait(conn: Any, dataset_id: DatasetId, *, after: int) -> Any:
        done = await flag_questions(conn, dataset_id, after=after)
        if after == 0:
            compared.set()
            await admitted.wait()
        return done

    monkeypatch.setattr(decontaminate_module, "flag_questions", flag_and_wait)
    loading = asyncio.create_task(load(engine, name))
    await compared.wait()
    assert await admit(engine, hold, SUM) == {}
    admitted.set()
    report = await loading
    assert (report["compared"], report["flagged"]) == (2, {"exact": 1})
    assert await admit(engine, hold, "What is 77 + 1?") == {"What is 77 + 1?": Refusal.CONTAMINATED}
    assert await questions(engine, name) == {RIVER}


async def test_an_admission_under_way_is_waited_for_and_compared(engine: AsyncEngine) -> None:
    name = next(names)
    hold = await holding(engine, name)
    waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with engine.connect() as conn:
        await confirm_hold(conn, hold)
        await admit_reply(conn, hold, SUM)
        loading = asyncio.create_task(load(engine, name))
        async with asyncio.timeout(10), engine.connect() as other:
            await other.execution_options(isolation_level="AUTOCOMMIT")
            # The lock's queue is the database's: there is no event to wait for.
            while not (await other.execute(waits)).scalar_one():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await conn.commit()
    assert (await loading)["flagged"] == {"exact": 1}
    assert await questions(engine, name) == set()


async def test_a_broken_file_changes_nothing(engine: AsyncEngine) -> None:
    name = next(names)
    await fill(engine, name, SUM)
    await load(engine, name)
    with pytest.raises(BadUpload, match="holds no question; line 1: not JSON"):
        await decontaminate(engine, name, "tests", lines("{", '{"answer": 1}'))
    with pytest.raises(BadUpload, match="holds no question"):
        await decontaminate(engine, "never-made", "tests", lines())

    async def broken() -> AsyncIterator[bytes]:
        yield b'{"question": "Why?"}\n'
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await decontaminate(engine, name, "tests", broken())
    assert await flagged(engine, name) == {SUM: [("s/1", "exact")]}
    with pytest.raises(NotFound):
        await describe_dataset(engine, "never-made")


async def test_a_deleted_dataset_leaves_nothing_of_its_benchmarks(engine: AsyncEngine) -> None:
    name = next(names)
    await fill(engine, name, SUM)
    await load(engine, name)
    async with engine.connect() as conn:
        dataset_id = (
            await conn.execute(text("SELECT id FROM dataset WHERE name = :name"), {"name": name})
        ).scalar_one()
    await delete_dataset(engine, name)
    async with engine.connect() as conn:
        for table in (benchmark, benchmark_key, contamination):
            left = select(func.count()).select_from(table).where(table.c.dataset_id == dataset_id)
            assert (await conn.execute(left)).scalar_one() == 0
        orphans = text("SELECT count(*) FROM benchmark_item WHERE benchmark_id NOT IN (SELECT id FROM benchmark)")
        assert (await conn.execute(orphans)).scalar_one() == 0
