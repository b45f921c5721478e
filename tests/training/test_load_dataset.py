"""`datasets.load_dataset(folder)` reads a bundle offline, the same rows from Parquet and from JSON lines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from shared.bundle.episodes import EpisodeOptions
from shared.bundle.fields import SCHEMA
from shared.bundle.read import read_episodes, read_rows
from shared.bundle.splits import SplitOptions
from tests.unit.bundle.samples import exported_rows, make_bundle
from tests.unit.bundle.test_build import AWKWARD


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No network, a cache of the test's own, and no bars."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def rows_to_load() -> list[dict[str, Any]]:
    rows = exported_rows(120)
    for row, text in zip(rows, AWKWARD, strict=False):
        row.update(question=f"{row['id']} {text} {row['question']}", answer=text, tags=[text])
    rows[20]["metadata"] = '{"n": 1, "t": "\\u2028"}'
    for row in rows[30:]:
        row.update(scores=None, verdict=None, model=None, call_id=None, prompt_version=None)
    return rows


def load(path: Path) -> Any:
    return datasets.load_dataset(str(path))


def test_both_formats_load_alike_and_every_character_stays(tmp_path: Path) -> None:
    exported = {row["id"]: row for row in rows_to_load()}
    make_bundle(tmp_path / "b", list(exported.values()), openai=True)
    parquet, lines, chats = load(tmp_path / "b"), load(tmp_path / "b/jsonl"), load(tmp_path / "b/openai")
    assert {*parquet} == {*lines} == {*chats} == {"train", "validation", "test"}
    for split, table in parquet.items():
        assert table.features == lines[split].features == datasets.Features.from_arrow_schema(SCHEMA)
        rows = table.to_list()
        assert rows == lines[split].to_list() == read_rows(tmp_path / "b", split)
        assert chats[split].to_list() == [{"messages": row["prompt"] + row["completion"]} for row in rows]
        for row in rows:
            wanted = exported.pop(row["id"])
            assert [row[name] for name in ("question", "answer", "tags", "metadata")] == [
                wanted[name] for name in ("question", "answer", "tags", "metadata")
            ]
    assert not exported


def test_a_split_without_rows_is_not_there_and_the_others_load(tmp_path: Path) -> None:
    nothing = SplitOptions(test_share=0, validation_share=0, test_topics=0, validation_topics=0)
    make_bundle(tmp_path / "b", rows_to_load(), splits=nothing, openai=True)
    for folder in ("", "jsonl", "openai"):
        assert {name: len(table) for name, table in load(tmp_path / "b" / folder).items()} == {"train": 120}


def test_episodes_load_as_the_card_says(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", exported_rows(200), episodes=EpisodeOptions(support=2, query=3))
    loaded = datasets.load_dataset("json", data_files=str(tmp_path / "b/episodes.jsonl"))["train"].to_list()
    assert loaded == [json.loads(json.dumps(each.to_json())) for each in read_episodes(tmp_path / "b")]
    assert {each["split"] for each in loaded} >= {"train", "test"}
