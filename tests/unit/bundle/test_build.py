"""A bundle as a whole: the same bytes each time, every character kept, a parent's rows where they were."""

import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from shared.bundle.episodes import EpisodeOptions
from shared.bundle.fields import SCHEMA
from shared.bundle.names import SPLITS, files_of
from shared.bundle.options import Origin
from shared.bundle.parent import read_parent
from shared.bundle.read import BadBundle, read_episodes, read_manifest, read_rows
from shared.bundle.splits import SplitOptions
from shared.bundle.verify import verify_bundle
from tests.unit.bundle.samples import (
    JOB,
    content_of,
    exported_row,
    exported_rows,
    made_up_question,
    make_bundle,
    split_of,
    write_export,
)

ROOT = Path(__file__).parents[3]
SMALL = EpisodeOptions(support=2, query=3)
# What a careless reader or writer of lines loses, splits at or folds.
AWKWARD = (
    'LaTeX \\frac{2}{17} \\times \\beta \\nabla $x_1^2$ \\\\ \\"quoted\\"',
    "line\nbreaks\r\nand\rreturns\tand tabs\x0b\x0c",
    "separators \u2028 \u2029 \x85 \x1c\x1d\x1e stay",
    "emoji \U0001f9d1\u200d\U0001f680 \U0001f1e9\U0001f1ea, combining e\u0301 a\u0308\u0323, precomposed \u00e9",
    "right to left \u0634\u0645\u0633 \u202b\u05e9\u05dc\u05d5\u05dd\u202c, zero width \u200b\ufeff",
    "astral \U0001d4d0 \U00020000, not characters \uffff \U0010ffff, private \ue000",
    'JSON "metadata":{"a":1}, {"metadata":null} \\u0041 </script> <|endoftext|>',
)
JOB_SHOWN: dict[str, Any] = {
    "id": JOB,
    "state": "succeeded",
    "rehearsal": True,
    "spec": {"seed": 7, "models": {"generate": {"easy": "openai/gpt-6-luna"}}, "stages": ["generate", "answer"]},
    "plan": {"cells": [{"domain": "math", "difficulty": "easy", "target": 30}]},
    "progress": {
        "cost_usd": 1.25,
        "stages": [
            {"stage": "generate", "actual": {"calls": 3, "cost_usd": 1.0}},
            {"stage": "answer", "actual": {"calls": 2, "cost_usd": 0.25}},
        ],
    },
}


def test_a_bundle_has_its_files_and_rows_and_is_verified(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "b", exported_rows(300), episodes=SMALL, openai=True)
    assert sorted(content_of(tmp_path / "b")) == files_of(openai=True)
    assert manifest["rows"]["total"] == sum(manifest["rows"][split] for split in SPLITS) == 300
    rows = [row for split in SPLITS for row in read_rows(tmp_path / "b", split)]
    assert {row["id"] for row in rows} == {*range(1, 301)}
    assert list(rows[0]) == SCHEMA.names
    assert rows[0]["created_at"] == datetime(2026, 11, 26, 12, 27, 6, 775817, tzinfo=UTC)
    assert read_manifest(tmp_path / "b") == manifest
    assert len(read_episodes(tmp_path / "b")) == sum(manifest["episodes"][split]["episodes"] for split in SPLITS) > 10
    assert verify_bundle(tmp_path / "b").problems == []


def test_two_processes_with_other_hash_seeds_make_the_same_bytes(tmp_path: Path) -> None:
    rows = exported_rows(400)
    rows += [{**row, "id": row["id"] + 1000, "question": row["question"] + " Please."} for row in rows[:20]]
    export = write_export(tmp_path / "export.jsonl", rows)
    made = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        code = (
            "from pathlib import Path; from shared.bundle.build import build_bundle; "
            "from shared.bundle.options import BundleOptions, Origin; "
            f"build_bundle(Path({str(export)!r}), Path({str(folder)!r}), Origin('demo'), BundleOptions(openai=True))"
        )
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        made.append(content_of(folder))
    assert made[0] == made[1]


def test_the_order_in_which_the_api_sends_rows_says_nothing(tmp_path: Path) -> None:
    rows = exported_rows(200)
    make_bundle(tmp_path / "a", rows)
    make_bundle(tmp_path / "b", rows[::-1])
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")


def test_every_character_stays(tmp_path: Path) -> None:
    rows = exported_rows(40)
    for row, text in zip(rows, AWKWARD, strict=False):
        row.update(question=f"{row['id']} {text} {row['question']}", answer=text, tags=[text, "more"], model=text)
    rows[0]["metadata"] = '{"n": 1e999, "big": 123456789012345678901234567890, "t": "\\ud83d\\ude80\\u2028"}'
    rows[1]["metadata"] = '{"metadata": null, "x": [{}]}'
    make_bundle(tmp_path / "b", rows, openai=True)
    expected = {row["id"]: row for row in rows}
    for split in SPLITS:
        lines = (tmp_path / f"b/jsonl/{split}.jsonl").read_bytes().split(b"\n")[:-1]
        chats = (tmp_path / f"b/openai/{split}.jsonl").read_bytes().split(b"\n")[:-1]
        table = pq.read_table(tmp_path / f"b/data/{split}.parquet").to_pylist()
        for line, chat, row in zip(lines, chats, table, strict=True):
            said, wanted = orjson.loads(line), expected.pop(row["id"])
            for field in ("question", "answer", "tags", "model", "metadata"):
                assert said[field] == row[field] == wanted[field], field
            messages = [
                {"role": "user", "content": wanted["question"]},
                {"role": "assistant", "content": wanted["answer"]},
            ]
            assert said["prompt"] + said["completion"] == orjson.loads(chat)["messages"] == messages
    assert not expected
    assert verify_bundle(tmp_path / "b").problems == []


def test_rows_without_an_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = exported_rows(50)
    for row in rows[:5]:
        row.update(answer=None, answer_model=None, completion_tokens=None)
    manifest = make_bundle(tmp_path / "b", rows)
    assert (manifest["rows"]["total"], manifest["left_out"]["unanswered"]) == (45, 5)
    assert "5 questions without an answer were left out" in manifest["warnings"]
    for row in rows:
        row["answer"] = None
    with pytest.raises(BadBundle, match=r"No question of demo has an answer.*stages: \[answer\]"):
        make_bundle(tmp_path / "c", rows)


def test_repeats_are_in_one_split_and_bridges_are_listed(tmp_path: Path) -> None:
    rows = exported_rows(100)
    first = rows[0]
    rows.append({**first, "id": 900, "question": first["question"] + " Please."})
    options = SplitOptions(test_topics=0, validation_topics=0, topics={"held": "test"})
    held = exported_row(901, first["question"] + " Thanks.", tags=["held"])
    assert first["id"] == 1
    manifest = make_bundle(tmp_path / "b", [*rows, held], splits=options)
    splits = split_of(tmp_path / "b")
    if splits[1] == "test":
        pytest.fail("choose another seed: the first row must not be in test")
    assert splits[900] == splits[1]
    assert manifest["clusters"] == {"clusters": 1, "rows": 2}
    assert manifest["left_out"]["torn"] == [{"id": 901, "repeats": [1, 900]}]
    assert 901 not in splits
    clusters = {row["id"]: row["cluster"] for split in SPLITS for row in read_rows(tmp_path / "b", split)}
    assert (clusters[1], clusters[900], clusters[2]) == (1, 1, 2)
    assert verify_bundle(tmp_path / "b").problems == []


def test_a_larger_bundle_keeps_every_split(tmp_path: Path) -> None:
    rows = exported_rows(600)
    make_bundle(tmp_path / "small", rows[:350])
    make_bundle(tmp_path / "large", rows)
    small, large = split_of(tmp_path / "small"), split_of(tmp_path / "large")
    assert small.items() <= large.items()


def test_a_parents_rows_keep_their_splits_whatever_was_answered_later(tmp_path: Path) -> None:
    rows = exported_rows(500)
    late = {row["id"] for row in rows[:100]}  # of the oldest, answered only when the parent was made
    make_bundle(tmp_path / "parent", [row for row in rows if row["id"] not in late])
    # A late row that repeats one of the parent's test goes there too.
    of_test = next(its for its, split in split_of(tmp_path / "parent").items() if split == "test")
    rows[0] = {**rows[of_test - 1], "id": 1, "question": rows[of_test - 1]["question"] + " Please."}
    gone = 450
    manifest = make_bundle(
        tmp_path / "child",
        [row for row in rows if row["id"] != gone],
        parent=read_parent(tmp_path / "parent"),
    )
    before, after = split_of(tmp_path / "parent"), split_of(tmp_path / "child")
    assert {each: after[each] for each in before if each != gone} == {
        each: before[each] for each in before if each != gone
    }
    assert after[1] == "test"
    told = manifest["parent"]
    assert (told["rows"], told["shared"], told["moved"], told["removed"], told["added"]) == (400, 399, 0, 1, 100)
    assert verify_bundle(tmp_path / "child").problems == []


def test_a_repeat_that_is_only_found_oldest_first_is_left_out(tmp_path: Path) -> None:
    """Where a parent's rows come first, those of a crowd hide the one that a late, older row repeats."""
    passage = made_up_question(random.Random(0), words=120)[:-1]
    names = ["Anna", *("".join(random.Random(at).sample("bcdfglmnprst", 4)).capitalize() for at in range(1, 30))]
    crowd = [exported_row(10 + at, f"{passage} and then {name} came?") for at, name in enumerate(names)]
    crowd[0]["tags"] = ["held"]
    late = exported_row(1, f"{passage} and then Anna came here?")
    options = SplitOptions(
        test_share=0, validation_share=0, test_topics=0, validation_topics=0, topics={"held": "test"}
    )
    make_bundle(tmp_path / "parent", crowd, splits=options)
    assert split_of(tmp_path / "parent")[10] == "test"
    manifest = make_bundle(tmp_path / "child", [late, *crowd], splits=options, parent=read_parent(tmp_path / "parent"))
    assert verify_bundle(tmp_path / "child").problems == []
    assert [each["id"] for each in manifest["left_out"]["torn"]] == [1]  # none of the parent's
    assert (manifest["parent"]["shared"], manifest["parent"]["removed"]) == (30, 0)


def test_a_parent_that_was_changed_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path / "parent", exported_rows(50))
    path = tmp_path / "parent/data/train.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BadBundle, match="questmill verify"):
        read_parent(tmp_path / "parent")


def test_the_manifest_says_where_rows_come_from(tmp_path: Path) -> None:
    origin = Origin("demo", (JOB_SHOWN,), {JOB: [{"version": "answer-1-x"}, {"version": "generate-1-4d85482a"}]}, 3)
    manifest = make_bundle(tmp_path / "b", exported_rows(60), origin=origin)
    assert manifest["rehearsal"] is True
    assert manifest["left_out"]["contaminated"] == 3
    assert manifest["jobs"] == [
        {
            "id": JOB,
            "state": "succeeded",
            "rehearsal": True,
            "seed": 7,
            "models": {"generate": {"easy": "openai/gpt-6-luna"}},
            "prompt_versions": ["answer-1-x", "generate-1-4d85482a"],
            "cost_usd": 1.25,
            "stages": {"generate": {"calls": 3, "cost_usd": 1.0}, "answer": {"calls": 2, "cost_usd": 0.25}},
        }
    ]
    cell = next(cell for cell in manifest["cells"] if (cell["domain"], cell["difficulty"]) == ("math", "easy"))
    assert cell["planned"] == 30
    assert cell["prompt_tokens"]["total"] == 11 * cell["rows"]["total"]
    assert "Rehearsal" in (tmp_path / "b/README.md").read_text()
    assert verify_bundle(tmp_path / "b").problems == []


def test_a_real_job_is_no_rehearsal_and_a_running_one_is_warned_of(tmp_path: Path) -> None:
    running = {**JOB_SHOWN, "rehearsal": False, "state": "running"}
    manifest = make_bundle(tmp_path / "b", exported_rows(60), origin=Origin("demo", (running,)))
    assert manifest["rehearsal"] is False
    assert any("is running" in each for each in manifest["warnings"])
    assert "Rehearsal" not in (tmp_path / "b/README.md").read_text()


@pytest.mark.parametrize("share", [0, 1])
def test_a_split_may_be_empty(tmp_path: Path, share: float) -> None:
    options = SplitOptions(test_share=share, validation_share=0, test_topics=0, validation_topics=0)
    manifest = make_bundle(tmp_path / "b", exported_rows(40), splits=options, openai=True)
    assert manifest["rows"]["validation"] == 0
    assert read_rows(tmp_path / "b", "validation") == []
    assert verify_bundle(tmp_path / "b").problems == []


def test_a_name_that_looks_like_the_end_of_a_cards_head_is_none(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", exported_rows(40), origin=Origin("a---b"))
    assert verify_bundle(tmp_path / "b").problems == []


def test_reading_what_is_no_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match=r"is no bundle: it has no manifest\.json"):
        read_rows(tmp_path, "train")
    make_bundle(tmp_path / "b", exported_rows(20))
    with pytest.raises(BadBundle, match="no split 'dev'"):
        read_rows(tmp_path / "b", "dev")
    (tmp_path / "b/data/train.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadBundle, match="cannot be read"):
        read_rows(tmp_path / "b", "train")
