"""An export as a table of the real pandas and the real datasets, from the real API."""

import pickle
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, List, Value, load_from_disk

from cli.client import ApiProblem, AsyncQuestmill, Questmill
from tests.service.api.serving import api_settings, serving
from tests.service.conftest import database_url, postgres_url, redis_url, template_database, valkey_url

__all__ = ["database_url", "postgres_url", "redis_url", "template_database", "valkey_url"]

TEXTS = ["What is 7 · 8, in \\frac{1}{2} words?", "Wie heißt „Boot“ auf 日本語?", "Two lines:\nis it \"one\" or 'two'?"]
ROWS = [{"question": text, "domain": "math", "difficulty": "easy"} for text in TEXTS]


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The API, with one dataset of three questions."""
    settings = api_settings(request.getfixturevalue("database_url"), request.getfixturevalue("redis_url"))
    with serving(settings) as url, Questmill(url) as mill:
        assert mill.import_baseline("framed", ROWS)["imported"] == 3
        yield url


@pytest.fixture
def mill(address: str) -> Iterator[Questmill]:
    with Questmill(address) as opened:
        yield opened


def test_a_frame_has_the_rows_and_their_types(mill: Questmill) -> None:
    frame = mill.to_pandas("framed")
    assert isinstance(frame, import_module("pandas").DataFrame)
    assert sorted(frame["question"]) == sorted(TEXTS)
    assert frame["prompt_tokens"].dtype.kind == "i"
    assert str(frame["created_at"].dtype).endswith("UTC]")
    assert frame["rehearsal"].dtype == bool
    assert frame.groupby("domain")["question"].count().to_dict() == {"math": 3}


def check_dataset(found: Any) -> None:
    """The rows, and types that do not depend on whether a column holds anything."""
    assert type(found) is Dataset
    assert sorted(found["question"]) == sorted(TEXTS)
    assert found.features["answer"] == Value("string")
    assert found.features["metadata"] == Value("string")
    assert found.features["tags"] == List(Value("string"))


def test_a_dataset_works_when_the_file_is_gone(mill: Questmill, tmp_path: Path) -> None:
    found = mill.to_dataset("framed")
    check_dataset(found)
    assert found.cache_files == []  # in memory: no file that somebody takes away
    assert found.filter(lambda row: row["question"].startswith("Two")).num_rows == 1
    assert sorted(found.map(lambda row: {"length": len(row["question"])})["length"]) == sorted(map(len, TEXTS))
    assert found.train_test_split(test_size=1, seed=5)["test"].num_rows == 1
    check_dataset(pickle.loads(pickle.dumps(found)))  # noqa: S301 - our own
    found.save_to_disk(tmp_path / "saved")
    check_dataset(load_from_disk(tmp_path / "saved"))


def test_a_seed_decides_the_order(mill: Questmill) -> None:
    orders = {tuple(mill.to_pandas("framed", seed=seed)["id"]) for seed in range(8)}
    assert len(orders) > 1
    assert tuple(mill.to_dataset("framed", seed=3)["id"]) == tuple(mill.to_pandas("framed", seed=3)["id"])


def test_the_format_is_not_a_choice(mill: Questmill) -> None:
    with pytest.raises(TypeError, match="file_format"):
        mill.to_pandas("framed", file_format="jsonl")


def test_a_dataset_that_is_not_there_is_said(mill: Questmill) -> None:
    with pytest.raises(ApiProblem, match="there is no dataset nobody"):
        mill.to_dataset("nobody")


async def test_the_same_with_an_event_loop(address: str) -> None:
    async with AsyncQuestmill(address) as mill:
        check_dataset(await mill.to_dataset("framed"))
        assert len(await mill.to_pandas("framed")) == 3
        with pytest.raises(TypeError, match="file_format"):
            await mill.to_dataset("framed", file_format="jsonl")
