"""A benchmark's questions, planted in the models' replies: none gets into a dataset that the benchmark guards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.system import RunningSystem, running_system
from tests.service.system.test_whole_system import wait_for_end

TESTS = {
    "t/1": "A cooper mends 14 barrels a week and a hoop breaks on 3 of them. How many hold out until the eighth week?",
    "t/2": "What is 731 + 46?",
    "t/3": "Which of the tide tables on the harbour wall was printed before the lighthouse keeper left the island?",
    "t/4": "Name the tool that turns a folder of scanned maps into one layered archive.",
}
# Each as it is, with other numbers, or lightly rephrased.
PLANTS = {
    TESTS["t/1"]: "exact",
    TESTS["t/2"]: "exact",
    TESTS["t/3"]: "exact",
    TESTS["t/1"].replace("14", "250").replace("3 of", "17 of"): "numbers",
    "What is 5 + 9,000?": "numbers",
    f"You work at the port of Bergen. {TESTS['t/3']}": "sentence",
    f"{TESTS['t/1'].replace('mends', 'repairs')} Explain each step.": "8-gram",
    "Name the tool that turns a folder of scanned charts into one layered archive.": "short",
}
SPEC = {
    "mix": {
        "domains": {"math": 300, "reading": 300},
        "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}},
    },
    "models": {"generate": {"easy": "openai/gpt-6-luna"}},
}
BENCHMARK = "".join(json.dumps({"id": name, "question": text}) + "\n" for name, text in TESTS.items()).encode()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    home = tmp_path_factory.mktemp("home")
    plants = home / "plants.jsonl"
    plants.write_text("".join(json.dumps(each) + "\n" for each in PLANTS))
    settings = {
        "QUESTMILL_REHEARSAL_PLANT": str(plants),
        "QUESTMILL_REHEARSAL_PLANT_SHARE": "0.1",
        "QUESTMILL_REHEARSAL_FAULTS": "none",
    }
    with running_system(home, settings=settings, workers=1, watched=False) as running:
        yield running


def ended(system: RunningSystem, dataset: str) -> dict[str, Any]:
    job = wait_for_end(system, system.client.submit({**SPEC, "dataset": dataset})["id"])
    assert job["state"] == "succeeded", job["reason"]
    return job


def exported(system: RunningSystem, dataset: str, folder: Path) -> list[str]:
    system.client.export(dataset, "jsonl", folder / "out.jsonl")
    return [json.loads(line)["question"] for line in (folder / "out.jsonl").read_text().splitlines()]


def test_a_guarded_job_ends_exact_without_any_of_them(system: RunningSystem, tmp_path: Path) -> None:
    system.client.decontaminate("guarded", "tests", BENCHMARK)
    job = ended(system, "guarded")
    refused = system.query(
        "SELECT text, matched FROM rejection WHERE job_id = %s AND reason = 'contaminated'", [job["id"]]
    )
    assert len(refused) == job["progress"]["rejected"]["contaminated"]
    assert {row.text: row.matched.rpartition(" (")[2][:-1] for row in refused} == PLANTS
    questions = exported(system, "guarded", tmp_path)
    assert len(questions) == 600
    assert not PLANTS.keys() & set(questions)
    assert system.client.dataset("guarded")["contamination"]["left_out"] == 0


def test_a_set_that_comes_later_finds_them_and_the_next_job_fills_their_places(
    system: RunningSystem, tmp_path: Path
) -> None:
    ended(system, "late")
    report = system.client.decontaminate("late", "tests", BENCHMARK)
    flagged = {match["question"]: match["kind"] for match in report["matches"]}
    assert flagged.items() <= PLANTS.items()
    left_out = {match["question"] for match in report["matches"] if match["state"] == "selected"}
    assert len(left_out) >= 5
    questions = exported(system, "late", tmp_path)
    assert len(questions) == 600 - len(left_out) == 600 - report["left_out"]
    assert not PLANTS.keys() & set(questions)
    assert system.client.decontaminate("late", "tests", BENCHMARK, discard=True)["discarded"] == len(flagged)
    ended(system, "late")
    questions = exported(system, "late", tmp_path)
    assert len(questions) == 600
    assert not PLANTS.keys() & set(questions)
