from pathlib import Path

import pytest
import yaml

from cli.atlas_files import describe_atlas, load_atlas_files, resolve_atlases
from cli.spec_file import BadSpecFile
from shared.questions.atlas import ATLAS_FOLDER

SAILING = {"domain": "Sailing", "topics": {"knots": ["bowline", "clove hitch"]}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sailing.yaml"
    path.write_text(yaml.safe_dump(SAILING))
    return path


@pytest.mark.parametrize("named", ["sailing.yaml", ["sailing.yaml"]])
def test_a_spec_that_names_files_gets_their_contents(file: Path, named: object) -> None:
    spec = resolve_atlases({"dataset": "d", "atlas": named}, file.parent)
    assert spec["atlas"] == {"sailing": {"topics": SAILING["topics"]}}


@pytest.mark.parametrize("given", [{"sailing": "0" * 32}, None])
def test_a_spec_that_holds_its_atlas_stays(given: object) -> None:
    assert resolve_atlases({"atlas": given}, Path())["atlas"] == given


def test_what_is_wrong_with_a_file_is_said_with_its_name(file: Path) -> None:
    with pytest.raises(BadSpecFile, match=r"nowhere.yaml cannot be read: No such file"):
        resolve_atlases({"atlas": "nowhere.yaml"}, file.parent)
    with pytest.raises(BadSpecFile, match="two atlases for 'sailing'"):
        resolve_atlases({"atlas": ["sailing.yaml", "sailing.yaml"]}, file.parent)
    with pytest.raises(BadSpecFile, match="write one path, or a list of paths"):
        resolve_atlases({"atlas": [3]}, file.parent)
    file.write_text("topics: {knots: [bowline]}\n")
    with pytest.raises(BadSpecFile, match="does not say which `domain`"):
        load_atlas_files([file])
    file.write_text("domain: sailing\ntopics: {knots: [no, yes]}\n")
    with pytest.raises(BadSpecFile, match=r"sailing.yaml: topics.knots.0: Input should be a valid string"):
        load_atlas_files([file])


def test_the_file_of_a_domain_that_comes_along_is_a_good_example() -> None:
    [checked] = load_atlas_files([ATLAS_FOLDER / "math.yaml"])
    [own] = [each for each in load_atlas_files([]) if each.domain == "math"]
    assert {**describe_atlas(checked), "digest": None} == describe_atlas(own)
    assert describe_atlas(own)["difficulties"]["easy"]["distinct_prompts"] > 100_000
