from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Here


def test_a_spec_is_written_as_asked_and_never_overwritten_unasked(here: Here, tmp_path: Path) -> None:
    said = here.run("init", "own.yaml", "--domains", "Sailing, knots", "--questions", 11, "--stages", "answer,generate")
    assert "./run questmill plan own.yaml" in said
    spec = yaml.safe_load((tmp_path / "own.yaml").read_text())
    assert spec["mix"]["domains"] == {"Sailing": 6, "knots": 5}
    assert spec["stages"] == ["generate", "answer"]
    assert "exists already; choose another FILE" in here.run("init", "own.yaml", status=1)
    assert here.json("init", "own.yaml", "--force", "--dataset", "x") == {"path": "own.yaml", "dataset": "x"}
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]


def test_the_command_it_names_can_be_pasted(here: Here) -> None:
    assert here.run("init", "my job.yaml").endswith("./run questmill plan 'my job.yaml'\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--stages", "judge"), "No stage is called 'judge'; there are generate, validate, answer."),
        (("--questions", "2"), "2 questions are too few for 3 domains"),
        (("--questions", "1"), "1 question is too few for 3 domains"),
        (("--dataset", ""), "dataset: use 1 to 64 of a-z"),
        (("--domains", ""), "There is no domain among these; write names with commas"),
        (("--domains", "a, b,a"), "a is named twice; name it once."),
        (("--stages", ""), "There is no stage among these; there are generate, validate, answer."),
        (("--dataset", "../x"), "dataset: use 1 to 64 of a-z"),
        (("--domains", " , "), "There is no domain among these; write names with commas"),
        (("--stages", ","), "There is no stage among these; there are generate, validate, answer."),
        (("--domains", "a/b"), "a name has no slash"),
        (("nowhere/job.yaml",), "nowhere/job.yaml: there is no such file or folder. Look at how it is written."),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    here: Here, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    said = here.run("init", *options, status=1)
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
