import json
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.questions.wording import STAGES, wording
from tests.service.api.test_prompts import ADD_CALLS
from tests.service.cli.test_commands import Shell, Spec

STORE = text("""
INSERT INTO prompt_version (version, stage, files) VALUES (:version, :stage, CAST(:files AS jsonb))
ON CONFLICT (version) DO NOTHING
""")
OLD_ANSWER, OLD_GENERATE = "answer-1-0000beef", "generate-1-0000cafe"


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    return Shell(api_url, tmp_path, spec)


@pytest.fixture
async def old_versions(engine: AsyncEngine) -> None:
    """Versions that are stored and no longer used: of answer, one line and one file differ; of generate, the atlas."""
    answer = dict(wording("answer").files)
    answer["user.txt"] = "Answer them.\n"
    del answer["worked.txt"]
    generate = {**wording("generate").files, "atlas/math.yaml": "domain: math\n"}
    async with engine.begin() as conn:
        for version, stage, files in ((OLD_ANSWER, "answer", answer), (OLD_GENERATE, "generate", generate)):
            await conn.execute(STORE, {"version": version, "stage": stage, "files": json.dumps(files)})


@pytest.mark.usefixtures("old_versions")
def test_alone_it_lists_the_versions(shell: Shell) -> None:
    lines = shell.run("prompts", "show").splitlines()
    for stage in STAGES:
        assert any(wording(stage).version in line and line.rstrip().endswith("current") for line in lines)
    assert any(OLD_ANSWER in line and "current" not in line for line in lines)
    assert {each["version"] for each in shell.json("prompts", "show")} >= {OLD_ANSWER, wording("answer").version}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_shows_its_prompts_as_they_are(shell: Shell, stage: str) -> None:
    told = shell.run("prompts", "show", stage)
    for name, content in wording(stage).files.items():
        if not name.startswith("atlas/"):
            assert f"=== {name}\n{content}" in told  # no line is folded
    assert ("and the atlas" in told) == (stage == "generate")
    assert shell.json("prompts", "show", wording(stage).version)["files"] == dict(wording(stage).files)


@pytest.mark.usefixtures("old_versions")
def test_a_version_is_compared_with_its_stages_present_one(shell: Shell) -> None:
    now = wording("answer")
    told = shell.run("prompts", "diff", OLD_ANSWER)
    assert f"--- {OLD_ANSWER}/user.txt\n+++ {now.version}/user.txt\n@@ -1 +1 @@\n-Answer them.\n+Write the" in told
    assert f"--- /dev/null\n+++ {now.version}/worked.txt" in told
    assert "system.txt" not in told
    assert told == shell.run("prompts", "diff", OLD_ANSWER, "answer")
    [compared] = shell.json("prompts", "diff", OLD_ANSWER, now.version)
    assert (compared["stage"], compared["old"], compared["new"]) == ("answer", OLD_ANSWER, now.version)
    assert [each["file"] for each in compared["files"]] == ["user.txt", "worked.txt"]
    [back] = shell.json("prompts", "diff", now.version, OLD_ANSWER)
    assert "+Answer them." in back["files"][0]["diff"]


def test_a_version_is_the_same_as_itself(shell: Shell) -> None:
    assert "is the same version" in shell.run("prompts", "diff", "validate")
    assert shell.json("prompts", "diff", "validate")[0]["files"] == []


@pytest.mark.usefixtures("old_versions")
async def test_a_job_is_compared_with_today(shell: Shell, engine: AsyncEngine, spec: Spec) -> None:
    job = shell.json("submit", shell.spec)
    assert "no call yet" in shell.run("prompts", "diff", job["id"], status=1)
    now = wording("generate").version
    async with engine.begin() as conn:
        await conn.execute(ADD_CALLS, {"job_id": job["id"], "old": OLD_GENERATE, "now": now})
    for name in (job["id"], spec["dataset"]):
        told = shell.run("prompts", "diff", name)
        assert f"+++ {now}/atlas/math.yaml" in told
        assert f"{now} is the same version" in told
    old, same = shell.json("prompts", "diff", spec["dataset"], "generate")
    assert (old["old"], [each["file"] for each in old["files"]]) == (OLD_GENERATE, ["atlas/math.yaml"])
    assert same["files"] == []
    assert "has no prompts of the stage" in shell.run("prompts", "diff", job["id"], "answer", status=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "dream"), "neither a stage (generate, validate, answer) nor a version"),
        (("show", "answer-1-00000000"), "GET /v1/prompts lists"),
        (("diff", "answer", "generate"), "are of different stages"),
        (("diff", "nobody"), "No job or dataset is called nobody"),
        (("diff", "answer", "dream"), "neither a stage"),
    ],
)
def test_what_is_not_there_is_one_sentence(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    told = shell.run("prompts", *arguments, status=1)
    assert said in told
    assert len(told.splitlines()) == 1
