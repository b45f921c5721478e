"""Exports to make bundles of: rows as the API writes them."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.bundle.build import build_bundle
from shared.bundle.episodes import EpisodeOptions
from shared.bundle.options import BundleOptions, Origin
from shared.bundle.parent import Parent
from shared.bundle.splits import SplitOptions
from shared.corpus.export import PARQUET_SCHEMA
from shared.questions.judging import CRITERIA

Row = dict[str, Any]

LETTERS = "bcdfghjklmnprstvwz"
JOB = "01a217cf-d76c-720e-9974-644eb67e4ee4"


def made_up_question(rng: random.Random, words: int = 9) -> str:
    """A question that is near no other."""
    return "What of " + " ".join("".join(rng.choices(LETTERS, k=7)) for _ in range(words)) + "?"


def exported_row(number: int, question: str, **other: Any) -> Row:
    """A row as the API exports it, in its order."""
    row: Row = {
        "id": number,
        "question": question,
        "domain": "math",
        "difficulty": "easy",
        "tags": ["algebra"],
        "prompt_tokens": 11,
        "tokenizer": "o200k_base",
        "source": JOB,
        "model": "openai/gpt-6-luna",
        "call_id": "01a217d2-cfc1-71ff-a7d6-a6fadb336c46",
        "rehearsal": False,
        "created_at": "2026-11-26T12:27:06.775817+00:00",
        "metadata": None,
        "answer": f"The answer to {number}.",
        "answer_model": "openai/gpt-6-luna",
        "completion_tokens": 5,
        "verdict": "accepted",
        "scores": dict.fromkeys(CRITERIA, 4.0),
        "prompt_version": "generate-1-4d85482a",
    }
    assert list(row) == PARQUET_SCHEMA.names
    assert other.keys() <= row.keys()
    return row | other


def exported_rows(count: int, seed: int = 1, first: int = 1) -> list[Row]:
    """Rows of two domains with three topics each; one in eight is hard. None repeats another."""
    rng = random.Random(seed)
    rows = []
    for number in range(first, first + count):
        domain = rng.choice(("math", "coding"))
        topic = rng.choice({"math": ("algebra", "sets", "limits"), "coding": ("trees", "loops", "strings")}[domain])
        difficulty = "hard" if rng.random() < 1 / 8 else "easy"
        kind = {"domain": domain, "tags": [topic, "more"], "difficulty": difficulty}
        rows.append(exported_row(number, made_up_question(rng), **kind))
    return rows


def write_export(path: Path, rows: Iterable[Row]) -> Path:
    """The rows as the API streams them: `metadata` is what it says, not a text."""
    path.write_bytes(b"".join(_line(row) for row in rows))
    return path


def _line(row: Row) -> bytes:
    metadata = row["metadata"]
    written = row | {"metadata": orjson.Fragment(metadata)} if metadata is not None else row
    return orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE)


def make_bundle(
    folder: Path,
    rows: Sequence[Row],
    *,
    splits: SplitOptions | None = None,
    episodes: EpisodeOptions | None = None,
    openai: bool = False,
    origin: Origin | None = None,
    parent: Parent | None = None,
) -> Row:
    """A bundle in a new folder; its manifest."""
    folder.mkdir()
    export = write_export(folder.with_name(f"{folder.name}.export.jsonl"), rows)
    options = BundleOptions(splits or SplitOptions(), episodes or EpisodeOptions(), openai=openai)
    return build_bundle(export, folder, origin or Origin("demo"), options, parent=parent)


def split_of(folder: Path) -> dict[int, str]:
    """The split of each row by id."""
    return {
        json.loads(line)["id"]: path.stem
        for path in (folder / "jsonl").glob("*.jsonl")
        for line in path.read_bytes().splitlines()
    }


def content_of(folder: Path) -> Mapping[str, bytes]:
    """Every file with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
