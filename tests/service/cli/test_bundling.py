"""From Postgres over the API to a bundle, and on: as a person runs it."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.client import Client, Questmill
from shared.bundle.names import SPLITS
from shared.bundle.read import read_episodes, read_rows
from shared.database.fence import Hold, confirm_hold
from shared.ids import JobId
from shared.planning.mix import Cell
from tests.service.cli.test_commands import Shell, Spec
from tests.service.factories import add_answer, admit_reply, lease_batch, make_batch
from tests.unit.bundle.samples import made_up_question
from tests.unit.bundle.test_build import AWKWARD

SMALL = ("--support", 2, "--query", 3)
TOPICS = ("sets", "limits", "algebra")


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    return Shell(api_url, tmp_path, spec)


async def make_answered(engine: AsyncEngine, shell: Shell, spec: Spec, questions: int) -> tuple[Hold, list[str]]:
    """A job that has made and answered so many questions of three topics; they are returned."""
    with Client(shell.environment["QUESTMILL_API_URL"]) as client:
        job = client.submit({**spec, "stages": ["generate", "answer"]})
    async with engine.begin() as conn:
        job_id = JobId(UUID(job["id"]))
        hold = await lease_batch(conn, await make_batch(conn, job_id, cell=Cell("math", "easy")))
    rng = random.Random(spec["dataset"])
    made = [made_up_question(rng) for _ in range(questions)]
    for topic_number, topic in enumerate(TOPICS):
        await answer_more(engine, hold, made[topic_number :: len(TOPICS)], topic)
    return hold, made


async def answer_more(engine: AsyncEngine, hold: Hold, questions: Sequence[str], topic: str) -> None:
    async with engine.begin() as conn:
        await confirm_hold(conn, hold)
        await admit_reply(conn, hold, *questions, tags=(topic,))
        ids = await conn.execute(
            text("SELECT id, text FROM question WHERE text = ANY (:texts)"), {"texts": list(questions)}
        )
        for question_id, question in ids.all():
            await add_answer(conn, hold, question_id, f"So it is: {question}")


async def test_a_bundle_is_exported_verified_and_continued(shell: Shell, engine: AsyncEngine, spec: Spec) -> None:
    dataset = spec["dataset"]
    hold, made = await make_answered(engine, shell, spec, 90)
    said = shell.json("export", dataset, "--format", "bundle", "--out", "b", *SMALL, "--openai")
    assert said["rows"]["total"] == 90
    assert said["path"] == "b"
    manifest = json.loads((shell.folder / "b/manifest.json").read_bytes())
    [job] = manifest["jobs"]
    assert (job["id"], job["state"], job["seed"]) == (str(hold.job_id), "running", 2025)
    assert {*job["stages"]} == {"generate", "answer"}
    planned = {(cell["domain"], cell["difficulty"]): cell["planned"] for cell in manifest["cells"]}
    assert planned.keys() == {(domain, each) for domain in ("math", "reading") for each in ("easy", "hard")}
    assert sum(planned.values()) == 100
    assert {row["question"] for split in SPLITS for row in read_rows(shell.folder / "b", split)} == {*made}
    assert len(read_episodes(shell.folder / "b")) > 5

    said = shell.run("verify", "b")
    assert "b is as it was made: 90 rows" in said
    assert "Not checked is what only manifest.json tells: jobs, planned, left_out, parent." in said
    assert shell.json("verify", "b")["whole"] is True

    said = shell.run("export", dataset, "--format", "bundle", "--out", "b", status=1)
    assert "b exists already; choose another --out, or replace the bundle there with --force." in said
    await answer_more(engine, hold, [made_up_question(random.Random(number)) for number in range(30)], "sets")
    shell.run("export", dataset, "--format", "bundle", "--out", "c", "--parent", "b")
    told = json.loads((shell.folder / "c/manifest.json").read_bytes())
    assert (told["rows"]["total"], told["parent"]["shared"], told["parent"]["moved"]) == (120, 90, 0)
    assert told["options"] == manifest["options"]
    assert "as it was made" in shell.run("verify", "c")
    shell.run("export", dataset, "--format", "bundle", "--out", "b", "--force", *SMALL, "--openai", "--parent", "b")
    assert (shell.folder / "b/manifest.json").read_bytes() == (shell.folder / "c/manifest.json").read_bytes()
    assert sorted(path.name for path in shell.folder.iterdir() if path.name.startswith(".")) == []


async def test_every_character_comes_from_postgres_into_the_bundle(
    shell: Shell, engine: AsyncEngine, spec: Spec
) -> None:
    """The way from there through `datasets` is in tests/training."""
    hold, _ = await make_answered(engine, shell, spec, 3)
    awkward = [f"{made_up_question(random.Random(at))} {each}" for at, each in enumerate(AWKWARD)]
    await answer_more(engine, hold, awkward, "odd")
    baseline = {
        "question": f"Baseline {AWKWARD[0]}",
        "domain": "math",
        "difficulty": "hard",
        "tags": ["Linked_Lists"],
        "note": AWKWARD[2],
        "big": 1e300,
    }
    (shell.folder / "old.jsonl").write_text(json.dumps(baseline) + "\n")
    assert shell.json("import", spec["dataset"] + "-old", "old.jsonl")["imported"] == 1
    async with engine.begin() as conn:  # a baseline of this dataset's, while its job is unfinished
        await conn.execute(
            text("UPDATE question SET dataset_id = :dataset_id WHERE text = :text"),
            {"dataset_id": hold.dataset_id, "text": baseline["question"]},
        )
        find = text("SELECT id, CAST(metadata AS text) AS metadata FROM question WHERE text = :text")
        found = (await conn.execute(find, {"text": baseline["question"]})).one()
        await add_answer(conn, hold, found.id, AWKWARD[1])
    shell.run("export", spec["dataset"], "--format", "bundle", "--out", "b")
    rows = [row for split in SPLITS for row in read_rows(shell.folder / "b", split)]
    answers = {row["question"]: row["answer"] for row in rows}
    assert len(answers) == 4 + len(AWKWARD)
    assert all(answers[each] == f"So it is: {each}" for each in awkward)
    old = next(row for row in rows if row["source"] == "baseline")
    assert (old["question"], old["answer"], old["topic"]) == (baseline["question"], AWKWARD[1], "linked lists")
    assert old["metadata"] == found.metadata  # 301 digits
    assert json.loads(old["metadata"]) == {"note": AWKWARD[2], "big": 10**300}
    lines = b"".join((shell.folder / f"b/jsonl/{split}.jsonl").read_bytes() for split in SPLITS).split(b"\n")[:-1]
    assert {orjson.loads(line)["question"]: orjson.loads(line)["answer"] for line in lines} == answers
    assert "as it was made" in shell.run("verify", "b")


async def test_hold_outs_are_whole_and_a_name_with_a_slip_is_refused(
    shell: Shell, engine: AsyncEngine, spec: Spec
) -> None:
    await make_answered(engine, shell, spec, 60)
    arguments = ("export", spec["dataset"], "--format", "bundle", "--out", "b", *SMALL)
    said = shell.run(*arguments, "--hold-out", "topic=setz", status=1)
    assert "No row is of the topic setz; look at how it is written. Nothing was written." in said
    assert not (shell.folder / "b").exists()
    shell.run(*arguments, "--hold-out", "topic=sets", "--validation-hold-out", "topic=limits")
    topics = {split: {row["topic"] for row in read_rows(shell.folder / "b", split)} for split in SPLITS}
    assert "sets" not in topics["train"] | topics["validation"]
    assert "limits" not in topics["train"] | topics["test"]


def test_nothing_answered_is_one_sentence_and_leaves_nothing(shell: Shell, spec: Spec) -> None:
    (shell.folder / "old.jsonl").write_text('{"question": "Why?", "domain": "math", "difficulty": "easy"}\n')
    shell.run("import", spec["dataset"], "old.jsonl")
    said = shell.run("export", spec["dataset"], "--format", "bundle", "--out", "b", status=1)
    assert 'let a job with "stages: [answer]" answer them, then export again.' in said
    assert len(said.splitlines()) == 1
    assert [path.name for path in shell.folder.iterdir() if path.is_dir() and path.name != "home"] == []
    assert "there is no dataset nobody" in shell.run("export", "nobody", "--format", "bundle", "--out", "b", status=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--openai",), "--openai is an option of --format bundle; add that, or leave it out."),
        (("--hold-out", "topic=sets"), "--hold-out is an option of --format bundle"),
        (("--minimum", 0), "--minimum is an option of --format bundle"),
        (("--tasks", "domain/topic"), "--tasks is an option of --format bundle"),
        (("--format", "bundle", "--all-answers"), "A bundle has neither --include-contaminated nor --all-answers"),
        (("--format", "bundle", "--force", "--out", "home"), "home is no bundle, so --force does not replace it"),
        (("--format", "bundle", "--parent", "home"), "home is no bundle: it has no manifest.json"),
        (("--out", "home"), "home is a folder; name a file in it."),
    ],
)
def test_options_that_make_no_sense_are_refused(
    shell: Shell, spec: Spec, arguments: tuple[Any, ...], sentence: str
) -> None:
    (shell.folder / "home").mkdir()
    (shell.folder / "home/thesis.tex").write_text("mine")
    said = shell.run("export", spec["dataset"], "--out", "b", *arguments, status=1)
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert (shell.folder / "home/thesis.tex").read_text() == "mine"


async def test_a_bundle_that_was_changed_is_found(shell: Shell, engine: AsyncEngine, spec: Spec) -> None:
    await make_answered(engine, shell, spec, 30)
    shell.run("export", spec["dataset"], "--format", "bundle", "--out", "b")
    path = shell.folder / "b/jsonl/train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"So it is", b"So it was", 1))
    said = shell.run("verify", "b", status=1)
    assert "jsonl/train.jsonl has" in said
    assert "data/train.parquet and jsonl/train.jsonl differ in completion, row 1." in said
    assert "b is not as it was made" in said
    found = shell.json("verify", "b", status=1)
    assert (found["whole"], len(found["problems"])) == (False, 2)
    assert "is no bundle" in shell.run("verify", "nowhere", status=1)


async def test_python_makes_the_same_bundle(shell: Shell, engine: AsyncEngine, spec: Spec, api_url: str) -> None:
    await make_answered(engine, shell, spec, 40)
    shell.run("export", spec["dataset"], "--format", "bundle", "--out", "b", *SMALL, "--hold-out", "topic=sets")
    with Questmill(api_url) as mill:
        options: dict[str, Any] = {"support": 2, "query": 3, "hold_out": ["topic=sets"]}
        folder = mill.export_bundle(spec["dataset"], shell.folder / "c", **options)
    assert (folder / "manifest.json").read_bytes() == (shell.folder / "b/manifest.json").read_bytes()
