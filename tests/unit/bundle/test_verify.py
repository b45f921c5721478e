"""What was changed in a bundle is found, also by one who makes the manifest's hashes fit again."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.bundle.episodes import EpisodeOptions
from shared.bundle.fields import SCHEMA
from shared.bundle.findings import MOST_OF_A_KIND
from shared.bundle.manifest import as_json, describe_files
from shared.bundle.names import EPISODES, MANIFEST, SPLITS, BadBundle, jsonl_path, openai_path, parquet_path
from shared.bundle.read import read_rows
from shared.bundle.split_files import write_split
from shared.bundle.splits import SplitOptions, place_in_order
from shared.bundle.verify import verify_bundle
from shared.corpus.normalise import text_hash
from tests.unit.bundle.samples import exported_rows, make_bundle

Row = dict[str, Any]
Rows = dict[str, list[Row]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    rows = exported_rows(240)
    rows += [{**row, "id": row["id"] + 500, "question": row["question"] + " Please."} for row in rows[:6]]
    options = SplitOptions(test_topics=0, validation_topics=0, topics={"trees": "test"})
    make_bundle(folder, rows, splits=options, episodes=EpisodeOptions(support=2, query=3), openai=True)
    assert verify_bundle(folder).problems == []
    return folder


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


def said(bundle: Path) -> str:
    found = verify_bundle(bundle)
    assert not found.is_whole
    for sentence in found.problems:
        assert sentence.endswith(".")
        assert "\n" not in sentence
    return "\n".join(found.problems)


def edit_manifest(bundle: Path, change: Callable[[Row], object]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    change(manifest)
    (bundle / MANIFEST).write_bytes(as_json(manifest))


def sign_again(bundle: Path) -> None:
    """As one would who knows how a bundle is made: all hashes and sizes fit."""
    rows = {split: len((bundle / f"jsonl/{split}.jsonl").read_bytes().splitlines()) for split in SPLITS}
    rows[EPISODES] = len((bundle / EPISODES).read_bytes().splitlines())
    edit_manifest(bundle, lambda manifest: manifest.update(files=describe_files(bundle, rows)))


def rewrite(bundle: Path, change: Callable[[Rows], object]) -> None:
    """Change rows in every format alike, and sign again."""
    rows: Rows = {split: pq.read_table(bundle / f"data/{split}.parquet").to_pylist() for split in SPLITS}
    change(rows)
    for split in SPLITS:
        write_split(bundle, split, rows[split], openai=True)
    sign_again(bundle)


@pytest.mark.parametrize(
    "path",
    [
        *(path_of(split) for split in SPLITS for path_of in (parquet_path, jsonl_path, openai_path)),
        *("episodes.jsonl", "README.md", "jsonl/README.md", "croissant.json"),
    ],
)
@pytest.mark.parametrize("where", [0.0, 0.5, 0.999])
def test_a_flipped_byte_is_found_in_every_file(bundle: Path, path: str, where: float) -> None:
    content = bytearray((bundle / path).read_bytes())
    content[int(len(content) * where)] ^= 4
    (bundle / path).write_bytes(content)
    assert f"{path} is not as it was written: its sha256 is another" in said(bundle)


@pytest.mark.parametrize("path", ["data/train.parquet", "jsonl/test.jsonl", "episodes.jsonl", "README.md"])
def test_a_missing_file_is_named(bundle: Path, path: str) -> None:
    (bundle / path).unlink()
    assert said(bundle) == f"{path} is missing."


def test_a_file_too_many_is_named_and_so_are_links_and_pipes(bundle: Path, tmp_path: Path) -> None:
    (bundle / "data/more.parquet").write_bytes(b"")
    (bundle / "notes.txt").symlink_to(tmp_path / "secret")
    told = said(bundle)
    assert "data/more.parquet is not of the bundle" in told
    assert "notes.txt is a link" in told


def test_a_link_in_the_place_of_a_file_is_not_followed(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "data/train.parquet", tmp_path / "elsewhere.parquet")
    (bundle / "data/train.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    told = said(bundle)
    assert "data/train.parquet is a link" in told
    assert "data/train.parquet is missing" in told


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "data/../../secret", "manifest.json", "data\\train"])
def test_names_that_lead_elsewhere_are_refused_and_never_opened(bundle: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    edit_manifest(bundle, lambda manifest: manifest["files"].update({name: {"sha256": "0", "bytes": 1}}))
    assert f"manifest.json names {name!r}, which is no file of a bundle." in said(bundle)


def test_a_row_that_is_dropped_is_found(bundle: Path) -> None:
    path = bundle / "jsonl/train.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    sign_again(bundle)
    assert "data/train.parquet has more rows than jsonl/train.jsonl, row" in said(bundle)


def test_a_row_that_is_dropped_everywhere_is_found_by_the_counts(bundle: Path) -> None:
    rewrite(bundle, lambda rows: rows["train"].pop())
    assert "manifest.json has other rows than the rows make: total (246 and not 245)." in said(bundle)


def test_a_row_that_differs_between_formats_is_named_with_its_field(bundle: Path) -> None:
    path = bundle / "jsonl/test.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    row = orjson.loads(lines[2])
    lines[2] = orjson.dumps({**row, "answer": "another"}, option=orjson.OPT_APPEND_NEWLINE)
    path.write_bytes(b"".join(lines))
    sign_again(bundle)
    assert "data/test.parquet and jsonl/test.jsonl differ in answer, row 3." in said(bundle)


@pytest.mark.parametrize("line", [b"[]\n", b"{\n", b"\n", b"\xff\n", b'{"id": 1}\n', b"null\n", b"[" * 5_000 + b"\n"])
def test_a_line_that_is_no_row_is_named(bundle: Path, line: bytes) -> None:
    path = bundle / "jsonl/validation.jsonl"
    path.write_bytes(line + path.read_bytes().split(b"\n", 1)[1])
    sign_again(bundle)
    assert ", row 1." in said(bundle)


def test_a_chat_that_differs_is_found(bundle: Path) -> None:
    path = bundle / "openai/train.jsonl"
    path.write_bytes(path.read_bytes().replace(b"The answer", b"An answer", 1))
    sign_again(bundle)
    assert "openai/train.jsonl has another chat than the row of data/train.parquet, row 1." in said(bundle)


def test_rows_swapped_between_splits_are_found(bundle: Path) -> None:
    def swap(rows: Rows) -> None:
        rows["train"][4], rows["test"][3] = rows["test"][3], rows["train"][4]
        for split in SPLITS:
            rows[split].sort(key=lambda row: row["id"])

    rewrite(bundle, swap)
    assert "stands behind rows" in said(bundle)


def test_a_row_in_another_split_is_found_whatever_else_fits(bundle: Path) -> None:
    """One that is not held out and repeats nothing: only deciding again finds it."""
    moved = {}

    def move(rows: Rows) -> None:
        clusters = [row["cluster"] for split in SPLITS for row in rows[split]]
        place = next(
            at for at, row in enumerate(rows["test"]) if row["topic"] != "trees" and clusters.count(row["cluster"]) == 1
        )
        moved.update(rows["test"].pop(place))
        rows["train"].append(moved)
        rows["train"].sort(key=lambda row: place_in_order(2025, text_hash(row["question"])))

    rewrite(bundle, move)
    assert f"(id {moved['id']}) belongs to test." in said(bundle)


def test_one_thing_that_is_wrong_hides_no_other(bundle: Path) -> None:
    def move(rows: Rows) -> None:
        alone = Counter(row["cluster"] for split in SPLITS for row in rows[split])
        place = next(at for at, row in enumerate(rows["train"]) if alone[row["cluster"]] == 1)
        rows["validation"].append(rows["train"].pop(place))
        rows["validation"].sort(key=lambda row: place_in_order(2025, text_hash(row["question"])))

    rewrite(bundle, move)
    lines = (bundle / EPISODES).read_bytes().splitlines(keepends=True)
    (bundle / EPISODES).write_bytes(b"".join(lines[1:]))
    sign_again(bundle)
    (bundle / ".DS_Store").write_bytes(b"")
    told = said(bundle)
    for sentence in (
        ".DS_Store is not of the bundle",
        "belongs to train.",
        "of train and names row",
        "has other episodes",
    ):
        assert sentence in told


def test_a_row_that_is_in_two_splits_is_found(bundle: Path) -> None:
    rewrite(bundle, lambda rows: rows["train"].append(rows["test"][1]))
    assert "has the id of" in said(bundle)


def test_a_topic_that_is_held_out_and_in_train_is_found(bundle: Path) -> None:
    edit_manifest(bundle, lambda manifest: manifest["options"]["splits"]["topics"].update(loops="validation"))
    assert "is of coding, topic loops, which is held out for validation." in said(bundle)


def test_a_duplicate_across_splits_is_found(bundle: Path) -> None:
    def copy(rows: Rows) -> None:
        row = rows["train"][0]
        words = row["question"][:-1] + " indeed?"
        rows["validation"].append(
            {**row, "id": 9_999, "cluster": 9_999, "question": words, "prompt": [{"role": "user", "content": words}]}
        )

    rewrite(bundle, copy)
    told = said(bundle)
    assert "(id 9999) repeats jsonl/train.jsonl, row 1 (id" in told
    assert "of another split" in told


def test_a_cluster_that_is_not_that_of_the_texts_is_found(bundle: Path) -> None:
    row: Row = {}

    def change(rows: Rows) -> None:
        row.update(rows["train"][0], cluster=12345)
        rows["train"][0] = row

    rewrite(bundle, change)
    assert f"jsonl/train.jsonl, row 1 (id {row['id']}) has the cluster 12345, and it belongs to" in said(bundle)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"topic": "logic"}, "data/train.parquet has the topic 'logic', and its first tag says"),
        ({"prompt": [{"role": "system", "content": "x"}]}, "has other messages than its question and answer, row 1."),
        ({"prompt_tokens": -1}, "has a negative number of tokens, row 1."),
        ({"answer": "", "completion": [{"role": "assistant", "content": ""}]}, "has no answer, row 1."),
        ({"tags": [None]}, "has an empty tag, row 1."),
    ],
)
def test_a_row_that_is_not_sound_is_found(bundle: Path, change: Row, sentence: str) -> None:
    rewrite(bundle, lambda rows: rows["train"][0].update(change))
    assert sentence in said(bundle)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda each, _: each["support"].__setitem__(0, each["query"][0]), "has a row twice"),
        (lambda each, _: each["support"].__setitem__(0, 77_777), "names row 77777, which is not in the bundle"),
        (lambda each, _: each["query"].pop(), "has 2+2 rows and not 2+3"),
        (lambda each, _: each.update(topic="other"), "of another task"),
        (lambda each, _: each.update(split="test"), "is of test and names row"),
        (lambda each, other: each.update(episode=other["episode"]), "has a name that 2 episodes have"),
        (lambda each, other: each.update({side: other[side] for side in ("support", "query")}), "has rows of another"),
        (lambda each, _: each["query"].reverse(), "is not as the rows make it"),
        (lambda each, _: each.update(episode="mine"), "is not as the rows make it"),
        (lambda each, _: each.pop("support"), "is no episode"),
        (lambda each, _: each.update(support="12"), "is no episode"),
        (lambda each, _: each.update(support=[str(its) for its in each["support"]]), "is no episode"),
        (lambda each, _: each.update(query=[its + 0.5 for its in each["query"]]), "is no episode"),
        (lambda each, _: each.update(episode=["a", "list"]), "is no episode"),
        (lambda each, _: each.update(topic={"a": "mapping"}), "is no episode"),
        (lambda each, _: each.update(note="more"), "is no episode"),
    ],
)  # fmt: skip
def test_an_episode_that_was_edited_is_named(bundle: Path, change: Callable[[Row, Row], object], sentence: str) -> None:
    lines = [orjson.loads(line) for line in (bundle / EPISODES).read_bytes().splitlines()]
    change(lines[1], lines[0])
    (bundle / EPISODES).write_bytes(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in lines))
    sign_again(bundle)
    told = said(bundle)
    assert any(each in told for each in sentence.split("|"))
    assert "line 2" in told


def test_an_episode_too_few_is_found(bundle: Path) -> None:
    lines = (bundle / EPISODES).read_bytes().splitlines(keepends=True)
    (bundle / EPISODES).write_bytes(b"".join(lines[:-1]))
    sign_again(bundle)
    assert f"episodes.jsonl has {len(lines) - 1} episodes, and the rows make {len(lines)}." in said(bundle)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda its: its["cells"][1]["rows"].update(train=3), "other cells than the rows make, number 2: rows: train"),
        (lambda its: its["tokens"]["prompt"].update(total=1), "other tokens than the rows make: prompt: total (1"),
        (lambda its: its.update(rehearsal=True), "other rehearsal than the rows make (True and not False)"),
        (lambda its: its["models"].update(answer={}), "other models"),
        (lambda its: its.update(dataset="another"), "croissant.json is of another dataset than manifest.json says"),
        (lambda its: its["episodes"]["train"].update(episodes=0), "other episodes than the rows make: train"),
        (lambda its: its["files"][EPISODES].update(rows=0), "says that episodes.jsonl has 0 rows"),
        (lambda its: its["files"].pop(EPISODES), "says nothing of episodes.jsonl"),
        (lambda its: its.pop("cells"), "manifest.json is not as it was written"),
        (lambda its: its.update(cells=7), "manifest.json is not as it was written"),
        (lambda its: its.update(files=[]), "names no files"),
        (lambda its: its.pop("options"), "does not say how the bundle was made"),
        (lambda its: its["options"]["splits"].update(more=1), "does not say how the bundle was made"),
        (lambda its: its["options"]["splits"].update(seed="x"), "does not say how the bundle was made"),
        (lambda its: its["options"].update(openai=False), "openai/train.jsonl is not of the bundle"),
        (lambda its: its.pop("jobs"), "manifest.json is not as it was written"),
    ],
)  # fmt: skip
def test_a_manifest_that_was_edited_is_found(bundle: Path, change: Callable[[Row], object], sentence: str) -> None:
    edit_manifest(bundle, change)
    assert sentence in said(bundle)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("README.md", b"data/train.parquet", b"data/test.parquet"),
        ("README.md", b"dtype: int64", b"dtype: int32"),
        ("README.md", b"---\n", b"--- [" + b"[" * 5_000),
        ("openai/README.md", b"path: train.jsonl", b"path: ../x.jsonl"),
    ],
)
def test_a_card_that_loads_something_else_is_found(bundle: Path, path: str, old: bytes, new: bytes) -> None:
    content = (bundle / path).read_bytes()
    assert old in content
    (bundle / path).write_bytes(content.replace(old, new, 1))
    sign_again(bundle)
    assert f"{path} lets load_dataset read something else than the bundle's files." in said(bundle)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"distribution": []}', b'{"distribution": 1}'])
def test_croissant_metadata_of_other_files_are_found(bundle: Path, content: bytes) -> None:
    (bundle / "croissant.json").write_bytes(content)
    sign_again(bundle)
    said(bundle)


def test_the_words_of_another_release_are_no_fault(bundle: Path) -> None:
    (bundle / "README.md").write_bytes((bundle / "README.md").read_bytes() + b"Said otherwise.\n")
    edit_manifest(bundle, lambda manifest: manifest.update(warnings=["said otherwise"]))
    sign_again(bundle)
    assert verify_bundle(bundle).problems == []


def test_other_columns_are_refused(bundle: Path) -> None:
    path = bundle / "data/train.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["metadata"]), path)
    sign_again(bundle)
    assert said(bundle) == "data/train.parquet has other columns than a bundle's."


def test_what_is_no_parquet_is_told(bundle: Path) -> None:
    (bundle / "data/train.parquet").write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    sign_again(bundle)
    assert "data/train.parquet cannot be read" in said(bundle)


@pytest.mark.parametrize("column", ["question", "created_at"])
def test_a_parquet_with_values_that_cannot_be_read_is_told(bundle: Path, column: str) -> None:
    path = bundle / "data/train.parquet"
    table = pq.read_table(path)
    beyond = {
        "question": pa.array([b"\xff"] * len(table), pa.binary()).view(pa.string()),
        "created_at": pa.array([2**62] * len(table), pa.int64()).cast(pa.timestamp("us", tz="UTC")),
    }
    at = SCHEMA.get_field_index(column)
    pq.write_table(table.set_column(at, SCHEMA.field(column), beyond[column]), path)
    sign_again(bundle)
    assert "data/train.parquet cannot be read: " in said(bundle)
    with pytest.raises(BadBundle, match=r"train\.parquet cannot be read"):
        read_rows(bundle, "train")


def test_a_parquet_that_unpacks_to_far_more_is_not_unpacked(bundle: Path) -> None:
    path = bundle / "data/test.parquet"
    [row] = pq.read_table(path).slice(0, 1).to_pylist()
    bomb = {**row, "metadata": "x" * 50_000_000}
    pq.write_table(pa.Table.from_pylist([bomb] * 2, schema=SCHEMA), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 100_000
    sign_again(bundle)
    assert "data/test.parquet unpacks to 100," in said(bundle)


def test_millions_of_rows_that_take_no_room_stop_at_the_first_that_has_no_line(bundle: Path) -> None:
    path = bundle / "data/test.parquet"
    [row] = pq.read_table(path).slice(0, 1).to_pylist()
    table = pa.Table.from_pylist([row], schema=SCHEMA)
    pq.write_table(pa.concat_tables([table] * 200_000).combine_chunks(), path, compression="zstd")
    sign_again(bundle)
    told = said(bundle)
    assert "row 2." in told or "unpacks to" in told


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="is no bundle: it has no manifest"):
        verify_bundle(tmp_path)
    with pytest.raises(BadBundle, match="is no bundle"):
        verify_bundle(tmp_path / "nowhere")
    for content, told in ((b"{", "cannot be read"), (b"[]", "is not of a Questmill bundle")):
        (tmp_path / MANIFEST).write_bytes(content)
        with pytest.raises(BadBundle, match=told):
            verify_bundle(tmp_path)
    (tmp_path / MANIFEST).write_text('{"format": "questmill bundle", "version": 99}')
    with pytest.raises(BadBundle, match="is a bundle of version 99, and this Questmill reads 1"):
        verify_bundle(tmp_path)


def test_a_manifest_that_is_no_file_is_not_waited_for(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    os.mkfifo(bundle / MANIFEST)
    with pytest.raises(BadBundle, match="it has no manifest"):
        verify_bundle(bundle)


def test_of_many_problems_of_a_kind_the_first_are_told_and_the_rest_counted(bundle: Path) -> None:
    for number in range(MOST_OF_A_KIND + 5):
        (bundle / f"{number:02}.txt").write_bytes(b"")
    assert "files: 5 more." in said(bundle)
