from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.corpus.by_hand import restore_question
from shared.ids import QuestionId
from tests.service.cli.test_commands import Shell, Spec
from tests.service.corpus.test_samples import make_whole

names = (f"sampled-{number}" for number in count())


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    return Shell(api_url, tmp_path, spec)


@pytest.fixture
async def whole(engine: AsyncEngine) -> tuple[str, QuestionId, QuestionId]:
    """A dataset of an answered question and a rejected one."""
    name = next(names)
    return name, *await make_whole(engine, name)


def test_a_sample_is_readable(shell: Shell, whole: tuple[str, QuestionId, QuestionId]) -> None:
    name, first, second = whole
    said = shell.run("sample", name, "-n", "5", "--cell", "math/easy")
    for expected in (
        f"math/easy selected (question {first})", f"math/easy rejected (question {second})", "Why do waves break?",
        "verdict: accepted; accepted by 2 of 2 judges; clear 4.5, self-contained 5", "The bottom slows them.",
        "answer by openai/gpt-6-luna, 5 tokens", "cost: $0.3140 (generate $0.0100, validate $0.0040, answer $0.3000)",
        "from: openai/gpt-6-luna, topic waves, call ", "reason: not clear (2 of 2 judges): Why not what?",
        "verdict: rejected; accepted by 0 of 2 judges; clear 2", "openai/gpt-6-luna: Why not what?",
        f"2 of 2 questions of {name}; --seed ",
    ):  # fmt: skip
        assert expected in said


def test_a_seed_draws_the_same_again(shell: Shell, whole: tuple[str, QuestionId, QuestionId]) -> None:
    drawn = shell.json("sample", whole[0], "-n", "1")
    for _ in range(2):
        assert shell.json("sample", whole[0], "-n", "1", "--seed", drawn["seed"]) == drawn
    [item] = shell.json("sample", whole[0], "--state", "rejected")["items"]
    assert item["id"] == whole[2]


async def test_who_overruled_the_judges_is_told(
    engine: AsyncEngine, shell: Shell, whole: tuple[str, QuestionId, QuestionId]
) -> None:
    await restore_question(engine, whole[2])
    assert "accepted by a person; accepted by 0 of 2 judges" in shell.run("sample", whole[0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--cell", "maths/easy"), "its cells: math/easy"),
        (("--cell", "math"), "'math' is not a cell; write DOMAIN/DIFFICULTY"),
    ],
)
def test_a_wrong_cell_is_one_sentence(
    shell: Shell, whole: tuple[str, QuestionId, QuestionId], arguments: tuple[str, str], sentence: str
) -> None:
    said = shell.run("sample", whole[0], *arguments, status=1)
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert "there is no dataset" in shell.run("sample", "nowhere", status=1)


def test_every_answer_is_exported_when_asked_for(shell: Shell, whole: tuple[str, QuestionId, QuestionId]) -> None:
    shell.run("export", whole[0], "--out", "all.jsonl", "--all-answers")
    assert '"answers":[{"model":' in (shell.folder / "all.jsonl").read_text()
    shell.run("export", whole[0], "--out", "first.jsonl")
    assert '"answers"' not in (shell.folder / "first.jsonl").read_text()
