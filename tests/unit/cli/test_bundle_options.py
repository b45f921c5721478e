"""The options of a bundle as typed become its options, or one sentence."""

import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from cli.bundle_folder import new_bundle_folder, require_replaceable
from cli.bundle_options import options_of
from cli.plain_words import BadArgument
from shared.bundle.episodes import Tasks
from shared.bundle.manifest import as_json
from shared.bundle.options import BundleOptions, options_from
from shared.bundle.splits import SplitOptions
from tests.unit.bundle.samples import exported_rows, make_bundle

DEFAULTS = BundleOptions()


def typed(base: BundleOptions = DEFAULTS, *, has_parent: bool = False, **options: Any) -> BundleOptions:
    return options_of(options, base, has_parent=has_parent)


def test_nothing_typed_is_the_defaults_and_survives_the_manifest() -> None:
    assert typed() == DEFAULTS
    assert options_from(DEFAULTS.to_json()) == DEFAULTS


def test_what_is_typed_is_in_its_place() -> None:
    made = typed(test_share=0.2, split_seed=9, tasks=Tasks.DIFFICULTY, support=1, seed=4, openai=True)
    assert (made.splits.test_share, made.splits.seed, made.order_seed, made.openai) == (0.2, 9, 4, True)
    assert (made.episodes.tasks, made.episodes.support, made.episodes.query) == (Tasks.DIFFICULTY, 1, 15)


@pytest.mark.parametrize("name", ["minimum", "support", "query", "split_seed", "seed"])
def test_a_number_that_no_manifest_can_hold_is_refused(name: str) -> None:
    options: dict[str, Any] = {name: 2**63 - 1}
    largest = typed(**options)
    assert options_from(orjson.loads(as_json(largest.to_json()))) == largest
    with pytest.raises(ValueError, match="range"):
        options_of({name: 2**63}, DEFAULTS, has_parent=False)


def test_what_a_program_types_is_what_the_command_line_makes_of_it() -> None:
    assert typed(tasks="domain/difficulty").episodes.tasks is Tasks.DIFFICULTY


def test_held_out_names_are_folded() -> None:
    made = typed(hold_out=["domain=Tool_Use", "topic=a=b"], validation_hold_out=["topic=Linked  Lists"])
    assert made.splits.domains == {"tool use": "test"}
    assert made.splits.topics == {"a=b": "test", "linked lists": "validation"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hold_out": ["math"]}, "'math' names nothing to hold out; write domain=NAME or topic=NAME."),
        ({"hold_out": ["cell=math"]}, "'cell=math' names nothing to hold out"),
        ({"hold_out": ["topic= "]}, "'topic= ' names nothing to hold out"),
        (
            {"hold_out": ["topic=sets"], "validation_hold_out": ["topic=Sets"]},
            "The topic Sets cannot be held out for test and validation; choose one.",
        ),
        ({"test_share": 0.96}, "--test-share and --validation-share are from 0 to 1, and at most 1 together"),
        ({"validation_topics": 0.95}, "--test-topics and --validation-topics are from 0 to 1, and at most 1 together"),
        ({"test_share": float("nan")}, "--test-share and --validation-share are from 0 to 1"),
        ({"validation_share": float("nan")}, "--test-share and --validation-share are from 0 to 1"),
        ({"tasks": "topic"}, "tasks are domain/topic, domain/topic/difficulty or domain/difficulty."),
        ({"test_shares": 0.1}, "A bundle has no option 'test_shares'; docs/bundle.md names those that it has."),
        ({"test_topics": -0.1}, "--test-topics and --validation-topics are from 0 to 1"),
    ],
)
def test_nonsense_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadArgument) as problem:
        typed(**options)
    assert sentence in str(problem.value)


def test_a_parents_splits_hold_and_its_episodes_may_change() -> None:
    base = BundleOptions(SplitOptions(seed=3, test_share=0.2), openai=True)
    assert typed(base, has_parent=True) == base
    assert typed(base, has_parent=True, test_share=0.2, query=4).episodes.query == 4
    with pytest.raises(BadArgument, match="The parent was split otherwise"):
        typed(base, has_parent=True, test_share=0.3)


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "new"
    with pytest.raises(FileNotFoundError), new_bundle_folder(out) as (_, folder):
        (folder / "half/half").write_bytes(b"")
    assert list(tmp_path.iterdir()) == []
    with new_bundle_folder(out) as (work, folder):
        (work / "export").write_bytes(b"")
        (folder / "whole").write_bytes(b"")
        assert not out.exists()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["new", "new/whole"]


def test_folders_above_it_are_made_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "runs/first/b"
    with pytest.raises(FileNotFoundError), new_bundle_folder(out) as (_, folder):
        (folder / "half/half").write_bytes(b"")
    assert list(tmp_path.iterdir()) == []
    with new_bundle_folder(out) as (_, folder):
        (folder / "whole").write_bytes(b"")
    assert [path.name for path in out.iterdir()] == ["whole"]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    with pytest.raises(NotADirectoryError), new_bundle_folder(out / "whole/c"):
        pass


def test_an_old_bundle_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "b"
    make_bundle(out, exported_rows(20))
    (tmp_path / "b.export.jsonl").unlink()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(FileNotFoundError), new_bundle_folder(out) as (_, folder):
        (folder / "half/half").write_bytes(b"")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    require_replaceable(out, force=True)
    with new_bundle_folder(out, force=True) as (_, folder):
        (folder / "new").write_bytes(b"")
    assert [path.name for path in out.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("force", [False, True])
def test_what_appears_there_in_the_meantime_is_not_replaced(tmp_path: Path, force: bool) -> None:
    out = tmp_path / "b"
    made = new_bundle_folder(out, force=force)
    made.__enter__()
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(BadArgument):
        made.__exit__(None, None, None)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["b", "b/thesis.tex"]


def test_ctrl_c_between_the_old_one_and_the_new_one_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "b"
    make_bundle(out, exported_rows(20))
    before = (out / "manifest.json").read_bytes()
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "bundle":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), new_bundle_folder(out, force=True):
        pass
    assert (out / "manifest.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"b", "b.export.jsonl"}


def test_what_a_manifest_calls_its_own_is_not_replaced_with_it(tmp_path: Path) -> None:
    out = tmp_path / "b"
    make_bundle(out, exported_rows(20))
    (out / "thesis.tex").write_text("mine")
    manifest = json.loads((out / "manifest.json").read_bytes())
    for files in ({**manifest["files"], "thesis.tex": {}}, None):
        (out / "manifest.json").write_bytes(as_json({**manifest, "files": files}))
        with pytest.raises(BadArgument, match=r"thesis\.tex is not of the bundle"):
            require_replaceable(out, force=True)


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".b.{os.getpid()}.unfinished/bundle").mkdir(parents=True)
    with new_bundle_folder(tmp_path / "b") as (_, folder):
        (folder / "new").write_bytes(b"")
    assert (tmp_path / "b/new").exists()


def test_only_a_bundle_is_replaced_and_only_when_told_to(tmp_path: Path) -> None:
    out = tmp_path / "b"
    require_replaceable(out, force=False)
    make_bundle(out, exported_rows(20))
    with pytest.raises(BadArgument, match="exists already"):
        require_replaceable(out, force=False)
    require_replaceable(out, force=True)
    link = tmp_path / "link"
    link.symlink_to(out)
    with pytest.raises(BadArgument, match="is a link, so --force does not replace it"):
        require_replaceable(link, force=True)
    (out / "data/thesis.tex").write_text("mine")
    with pytest.raises(BadArgument, match=r"thesis\.tex is not of the bundle"):
        require_replaceable(out, force=True)
    for stranger in (tmp_path, tmp_path / "b.export.jsonl"):
        with pytest.raises(BadArgument, match="is no bundle"):
            require_replaceable(stranger, force=True)
