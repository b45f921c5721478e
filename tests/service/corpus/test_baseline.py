import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator
from itertools import count

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.baseline import MOST_HASHES, PROBLEMS_SHOWN, ImportReport, import_baseline
from shared.corpus.normalise import text_hash
from shared.corpus.upload import LINE_BYTES
from shared.database.tables import dataset, question, question_band
from shared.errors import BadUpload, Conflict
from tests.service.factories import make_dataset, make_job

names = (f"baseline-{number}" for number in count())


def line(question: str, domain: str = "Math", difficulty: str = "EASY", **fields: object) -> bytes:
    return json.dumps({"question": question, "domain": domain, "difficulty": difficulty, **fields}).encode() + b"\n"


def made_up(number: int) -> str:
    words = random.Random(number).sample(("amber", "bread", "cedar", "delta", "ember", "flint", "grove", "heath"), 4)
    return f'Which of the "{words[0]}" and {words[1]} things in {words[2]} isn\'t number {number} of {words[3]}?'


async def upload(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def import_bytes(engine: AsyncEngine, name: str, *chunks: bytes) -> ImportReport:
    return await import_baseline(engine, name, upload(*chunks))


async def stored(engine: AsyncEngine, name: str) -> list[dict[str, object]]:
    async with engine.connect() as conn:
        rows = await conn.execute(select(question).join(dataset).where(dataset.c.name == name).order_by(question.c.id))
        return [dict(row) for row in rows.mappings()]


async def has_dataset(engine: AsyncEngine, name: str) -> bool:
    async with engine.connect() as conn:
        return (await conn.execute(select(func.count()).where(dataset.c.name == name))).scalar_one() == 1


async def test_a_row_is_stored_whole(engine: AsyncEngine) -> None:
    name, asked = next(names), "  What is $\\frac{3}{4} \\times \\beta$ of\n\u201c8\u201d 🥚?\u200b "
    report = await import_bytes(
        engine, name, line(asked, "Tool_Use", " Hard", tags=["Unit-Price", "unit price"], source="a book", n=1e22)
    )
    assert report.to_json() == {
        "read": 1,
        "imported": 1,
        "duplicates": 0,
        "invalid": 0,
        "near_duplicates": 0,
        "contaminated": 0,
        "problems": [],
    }
    [row] = await stored(engine, name)
    assert row["text"] == asked.strip()
    assert (row["domain"], row["difficulty"], row["tags"]) == ("tool use", "hard", ["unit price"])
    assert row["metadata"] == {"source": "a book", "n": 10**22}
    assert (row["text_hash"], row["state"], row["job_id"]) == (text_hash(asked), "selected", None)
    assert isinstance(row["prompt_tokens"], int)
    assert 10 < row["prompt_tokens"] < 40
    async with engine.connect() as conn:
        bands = select(func.count()).where(question_band.c.question_id == row["id"])
        assert (await conn.execute(bands)).scalar_one() == 12


async def test_a_file_full_of_varied_repeats_comes_out_at_its_unique_count_every_time(engine: AsyncEngine) -> None:
    shapes = (
        str,
        str.upper,
        lambda it: it.replace(" ", "  "),
        lambda it: it.replace("'", "\u2019").replace('"', "\u201c"),
        lambda it: f"\t{it} ",
        lambda it: f"Q: {it}",
    )
    chosen = random.Random(5)
    asked = [made_up(number) for number in range(1_500)]
    rows = asked + [chosen.choice(shapes)(chosen.choice(asked)) for _ in range(8_500)]
    chosen.shuffle(rows)
    packed = gzip.compress(b"".join(line(each) for each in rows))
    chunks = [packed[start : start + 5_000] for start in range(0, len(packed), 5_000)]
    first, second = next(names), next(names)
    for name in (first, second):
        report = await import_bytes(engine, name, *chunks)
        assert (report.read, report.imported, report.duplicates, report.invalid) == (10_000, 1_500, 8_500, 0)
    again = await import_bytes(engine, first, *chunks)
    assert (again.imported, again.duplicates) == (0, 10_000)
    assert len(await stored(engine, first)) == 1_500


async def test_repeats_are_found_when_no_hashes_are_kept(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_HASHES > 1
    monkeypatch.setattr("shared.corpus.baseline.MOST_HASHES", 1)
    monkeypatch.setattr("shared.corpus.baseline.ROWS_PER_WRITE", 7)
    lines = [line(made_up(number)) for number in (*range(30), *range(30), *range(5))]
    report = await import_bytes(engine, next(names), *lines)
    assert (report.read, report.imported, report.duplicates) == (65, 30, 35)


async def test_near_duplicates_are_reported_and_kept(engine: AsyncEngine) -> None:
    name = next(names)
    report = await import_bytes(
        engine,
        name,
        line("Why does an egg harden when it is boiled in water for several minutes?"),
        line("Why does an egg harden when it is boiled in water for several minutes then?"),
        line("What is 12 + 5 if the sum is written in words and not in digits?"),
        line("What is 12 + 7 if the sum is written in words and not in digits?"),
    )
    assert (report.imported, report.near_duplicates) == (4, 1)


async def test_bad_lines_are_listed_by_number_and_cost_nothing_else(engine: AsyncEngine) -> None:
    name = next(names)
    lines = [
        b"\xef\xbb\xbf" + line("First?").replace(b"\n", b"\r\n"),
        b"\n",
        b'{"question": "caf\xe9"}\n',
        b'{"question": "' + b"x" * LINE_BYTES + b'"}\n',
        b'{"question": "No domain?", "difficulty": "easy"}\n',
        line("Nul\0?"),
        line("Deep?")[:-2] + b', "n": ' + b"[" * 300 + b"]" * 300 + b"}\n",
        b'{"question": "\\ud800", "domain": "math", "difficulty": "easy"}\n',
        line("Last?").rstrip(),
    ]
    for data in (b"".join(lines), gzip.compress(b"".join(lines))):
        name = next(names)
        report = await import_bytes(engine, name, *(data[at : at + 65_536] for at in range(0, len(data), 65_536)))
        assert (report.read, report.imported, report.invalid) == (8, 2, 6)
        assert [number for number, _ in report.problems] == [3, 4, 5, 6, 7, 8]
        assert "UTF-8" in report.problems[0][1]
        assert "1,000,000 bytes" in report.problems[1][1]
        assert [row["text"] for row in await stored(engine, name)] == ["First?", "Last?"]


async def test_the_first_hundred_problems_are_shown_and_all_counted(engine: AsyncEngine) -> None:
    report = await import_bytes(engine, next(names), b"x\n" * 250, line("Good?"))
    assert (report.read, report.invalid, report.imported, len(report.problems)) == (251, 250, 1, PROBLEMS_SHOWN)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n \r\n", gzip.compress(b""), gzip.compress(line("Why?"))[:-4]],
    ids=["empty", "blank lines", "empty gzip", "cut gzip"],
)
async def test_an_upload_without_lines_or_without_end_leaves_nothing(engine: AsyncEngine, data: bytes) -> None:
    name = next(names)
    with pytest.raises(BadUpload):
        await import_bytes(engine, name, data)
    assert not await has_dataset(engine, name)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            b"question,domain,difficulty\nWhy?,math,easy\n",
            r"lines is a question \(line 1: .* looks like CSV",
        ),
        (b"PAR1\x15\x04\x15\xff\nscraps\nPAR1", "invalid UTF-8 .* looks like Parquet"),
        (line("Why?").decode().encode("utf-16"), "looks like UTF-16"),
        (b'[\n  {"question": "Why?"}\n]\n', r"looks like a JSON array, and JSONL is needed"),
        (gzip.compress(b"\nWhy?\n"), r"\(line 2: not JSON: .*\); nothing was imported"),
        (b'{"question": "Why?", "domain": "math"}\n', r"\(line 1: difficulty is missing\); nothing was imported"),
    ],
    ids=["CSV", "Parquet", "UTF-16", "array", "text", "rows without a difficulty"],
)
async def test_a_file_without_a_valid_line_leaves_nothing_and_its_kind_is_told(
    engine: AsyncEngine, data: bytes, sentence: str
) -> None:
    name = next(names)
    with pytest.raises(BadUpload, match=sentence):
        await import_bytes(engine, name, data)
    assert not await has_dataset(engine, name)


async def test_an_aborted_upload_rolls_everything_back(engine: AsyncEngine) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for hundred in range(15):
            yield b"".join(line(made_up(100 * hundred + number)) for number in range(100))
        raise ConnectionResetError

    new, old = next(names), next(names)
    await import_bytes(engine, old, line("Here before?"))
    for name in (new, old):
        with pytest.raises(ConnectionResetError):
            await import_baseline(engine, name, broken())
    assert not await has_dataset(engine, new)
    assert [row["text"] for row in await stored(engine, old)] == ["Here before?"]
    assert (await import_bytes(engine, new, line("And now?"))).imported == 1


async def test_no_import_while_a_job_is_unfinished(engine: AsyncEngine) -> None:
    name = next(names)
    async with engine.begin() as conn:
        job_id = await make_job(conn, await make_dataset(conn, name))
    with pytest.raises(Conflict, match=str(job_id)):
        await import_bytes(engine, name, line("Why?"))
    assert await stored(engine, name) == []


async def test_two_imports_at_once_import_each_question_once(engine: AsyncEngine) -> None:
    name = next(names)
    lines = [line(made_up(number)) for number in range(1_200)]
    reports = await asyncio.gather(*(import_bytes(engine, name, *lines) for _ in range(3)))
    assert sorted(report.imported for report in reports) == [0, 0, 1_200]
    assert len(await stored(engine, name)) == 1_200


async def test_a_file_of_one_template_takes_no_longer_than_others(engine: AsyncEngine) -> None:
    lines = [
        line(f"A baker in town {number} sells 12 loaves a day; how many is that in a week?") for number in range(2_000)
    ]
    async with asyncio.timeout(15):
        report = await import_bytes(engine, next(names), *lines)
    assert (report.imported, report.near_duplicates) == (2_000, 0)


async def test_statistics_are_fresh_after_a_large_import(engine: AsyncEngine) -> None:
    await import_bytes(engine, next(names), *(line(made_up(number)) for number in range(5_000, 6_500)))
    async with engine.connect() as conn:
        analyzed = text(
            "SELECT count(*) FROM pg_stat_user_tables WHERE last_analyze IS NOT NULL AND relname LIKE 'question%'"
        )
        assert (await conn.execute(analyzed)).scalar_one() == 2
