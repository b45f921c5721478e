import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.questions import wording as module
from shared.questions.tokens import count_tokens
from shared.questions.wording import STAGES, WORDING_FOLDER, wording


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "prompts"
    shutil.copytree(WORDING_FOLDER, folder)
    monkeypatch.setattr(module, "WORDING_FOLDER", folder)
    wording.cache_clear()
    yield folder
    wording.cache_clear()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_version_and_the_files_it_stands_for(stage: str) -> None:
    assert re.fullmatch(rf"{stage}-1-[0-9a-f]{{8}}", wording(stage).version)
    written = {path.name: path.read_text(encoding="utf-8") for path in (WORDING_FOLDER / stage).glob("*.txt")}
    assert written.items() <= wording(stage).files.items()
    assert {"system.txt", "user.txt"} <= set(wording(stage).files)


def test_the_atlas_belongs_to_the_wording_of_generate() -> None:
    assert "topics:" in wording("generate").files["atlas/math.yaml"]
    assert not any(name.startswith("atlas/") for name in wording("answer").files)


@pytest.mark.parametrize("stage", STAGES)
def test_one_changed_character_is_another_version_of_that_stage_alone(stage: str, copied: Path) -> None:
    before = {each: wording(each).version for each in STAGES}
    with (copied / stage / "user.txt").open("a", encoding="utf-8") as file:
        file.write(".")
    wording.cache_clear()
    assert [each for each in STAGES if wording(each).version != before[each]] == [stage]


def test_there_is_no_other_stage() -> None:
    with pytest.raises(ValueError, match="the stages are generate, validate, answer"):
        wording("../answer")


@pytest.mark.parametrize(("stage", "most"), [("generate", 150), ("validate", 950), ("answer", 600)])
def test_system_messages_stay_short(stage: str, most: int) -> None:
    """Each call pays for them."""
    assert count_tokens(wording(stage).text("system")) <= most
