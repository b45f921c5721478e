"""Bundles made for these tests by the same code that makes real ones."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from shared.bundle.build import build_bundle
from shared.bundle.options import BundleOptions, Origin
from shared.bundle.splits import SplitOptions
from tests.training.models import small_llama
from tests.training.rows import NASTY
from training.tokenizing import byte_tokenizer

WORDS = [
    "prime",
    "cube",
    "tangent",
    "vector",
    "matrix",
    "integral",
    "limit",
    "proof",
    "set",
    "graph",
    "tree",
    "queue",
    "stack",
    "heap",
    "byte",
    "cache",
    "loop",
]
TOPICS = {"math": ("algebra", "geometry", "sets"), "coding": ("lists", "graphs", "caches")}
HELD_OUT = {"sets": "test", "caches": "test"}


def exported(count: int, seed: int) -> list[dict[str, Any]]:
    """Answered rows of an export, in two domains of three topics; answers repeat their topic's words, so there is
    something to adapt to."""
    rng = random.Random(seed)
    rows = []
    for number in range(1, count + 1):
        domain = rng.choice(list(TOPICS))
        topic = rng.choice(TOPICS[domain])
        favourite = random.Random(topic).sample(WORDS, 4)
        question = f"{topic}: " + " ".join(rng.sample(WORDS, 9))
        answer = NASTY[number - 1] if number <= len(NASTY) else " ".join(rng.choices(favourite, k=rng.randint(4, 12)))
        rows.append(
            {
                "id": number,
                "question": question,
                "domain": domain,
                "difficulty": "hard" if number % 9 == 0 else "easy",
                "tags": [topic],
                "prompt_tokens": len(question.split()),
                "tokenizer": "o200k_base",
                "source": "job",
                "model": "m",
                "call_id": None,
                "rehearsal": True,
                "created_at": "2026-11-26T12:27:06.775817+00:00",
                "metadata": None,
                "answer": answer,
                "answer_model": "m",
                "completion_tokens": len(answer.split()),
                "verdict": None,
                "scores": None,
                "prompt_version": "1",
            }
        )
    return rows


def make_bundle(folder: Path, rows: list[dict[str, Any]]) -> Path:
    export = folder / "export.jsonl"
    export.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
    bundle = folder / "bundle"
    bundle.mkdir()
    build_bundle(export, bundle, Origin("tests"), BundleOptions(splits=SplitOptions(topics=HELD_OUT)))
    return bundle


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """These models are too small for more; two threads that wait for each other on a busy machine take far longer."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), exported(700, seed=11))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model of bytes, fifty times smaller than tiny."""
    folder = tmp_path_factory.mktemp("small")
    small_llama().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)
