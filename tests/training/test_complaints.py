"""What a person can get wrong is one sentence that says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import MambaConfig, MambaForCausalLM

from shared.bundle.manifest import hash_file
from shared.bundle.read import BadBundle, Episode
from tests.training.models import bpe_tokenizer, small_llama
from tests.training.rows import NASTY, row
from tests.training.runs import run
from training import app
from training.errors import BadRun
from training.settings import Algo
from training.tasks import Lengths, in_turns, spread
from training.tokenizing import byte_tokenizer


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[Any, str, str]:
    monkeypatch.setattr("sys.argv", ["./run", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="is no bundle"):
        run(tmp_path, tmp_path / "run")


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_episodes_in_a_split(split: str, bundle: Path, tmp_path: Path) -> None:
    def without(episodes: list[dict[str, Any]]) -> None:
        episodes[:] = [each for each in episodes if each["split"] != split]

    copy = edited(bundle, tmp_path / "bundle", without)
    with pytest.raises(BadRun, match=f"no episodes in its {split} split"):
        run(copy, tmp_path / "run")


def edited(bundle: Path, copy: Path, edit: Callable[[list[dict[str, Any]]], None], *, honest: bool = True) -> Path:
    """A copy of a bundle with other episodes; `honest` says so in the manifest."""
    shutil.copytree(bundle, copy)
    path, manifest = copy / "episodes.jsonl", copy / "manifest.json"
    episodes = [json.loads(line) for line in path.read_text().splitlines()]
    edit(episodes)
    path.write_text("".join(json.dumps(each) + "\n" for each in episodes))
    if honest:
        said = json.loads(manifest.read_text())
        said["files"]["episodes.jsonl"] = hash_file(path)
        manifest.write_text(json.dumps(said))
    return copy


def first_of(episodes: list[dict[str, Any]], split: str) -> dict[str, Any]:
    return next(each for each in episodes if each["split"] == split)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_episode_of_a_row_that_is_not_there(split: str, bundle: Path, tmp_path: Path) -> None:
    copy = edited(bundle, tmp_path / "bundle", lambda episodes: first_of(episodes, split)["query"].append(10**6))
    with pytest.raises(BadRun, match=rf"episode '{split}/.*' names row 1000000, .* export the bundle again"):
        run(copy, tmp_path / "run", held_out_tasks=100, steps=100)


def test_a_bundle_that_was_changed_is_not_trained_on(bundle: Path, tmp_path: Path) -> None:
    copy = edited(bundle, tmp_path / "bundle", lambda episodes: episodes.reverse(), honest=False)
    with pytest.raises(BadBundle, match=r"episodes\.jsonl is not as it was exported.*questmill verify"):
        run(copy, tmp_path / "run")


def test_longer_rows_are_refused_and_counted_or_dropped_and_counted(bundle: Path, small: str, tmp_path: Path) -> None:
    with pytest.raises(
        BadRun, match=r"\d+ of the \d+ rows that this run reads are longer than 110 tokens .* none is ever cut"
    ):
        run(bundle, tmp_path / "run", max_tokens=110)
    assert not (tmp_path / "run").exists()
    metrics = run(bundle, tmp_path / "run", model=small, max_tokens=110, drop_longer=True).metrics
    assert 0 < metrics["data"]["rows_dropped"] < metrics["data"]["rows_read"]
    with pytest.raises(BadRun, match="raise --max-tokens"):
        run(bundle, tmp_path / "none", max_tokens=10, drop_longer=True)


def test_no_model_where_one_is_named(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="no folder"):
        run(bundle, tmp_path / "run", model=str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRun, match=r"no config\.json"):
        run(bundle, tmp_path / "run", model=str(tmp_path / "empty"))


def test_a_model_too_small_for_its_tokenizer_or_rows(bundle: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    tokenizer = bpe_tokenizer(NASTY)
    small_llama(100).save_pretrained(base)
    tokenizer.save_pretrained(base)
    with pytest.raises(BadRun, match="they are no pair"):
        run(bundle, tmp_path / "run", model=str(base))
    small_llama(len(tokenizer)).save_pretrained(base)
    with pytest.raises(BadRun, match="takes 2,048 tokens"):
        run(bundle, tmp_path / "run", model=str(base), max_tokens=4096)


def test_a_tokenizer_without_eos(bundle: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    tokenizer = bpe_tokenizer(NASTY)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    code, _, said = command(capsys, monkeypatch, "masks", bundle, "--tokenizer", tmp_path / "tokenizer")
    assert code == 1
    assert "has no EOS token" in said


def test_a_template_that_takes_no_such_rows(bundle: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    template = "{{ raise_exception('only systems may speak') }}"
    bpe_tokenizer(NASTY, template=template).save_pretrained(tmp_path / "tokenizer")
    code, _, said = command(capsys, monkeypatch, "masks", bundle, "--tokenizer", tmp_path / "tokenizer")
    assert code == 1
    assert "chat template takes no question and answer: only systems may speak" in said


def test_resuming_what_is_not_there_or_otherwise(bundle: Path, small: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    same: dict[str, Any] = {"model": small, "steps": 1, "held_out_tasks": 1, "baseline": False}
    with pytest.raises(BadRun, match="nothing to resume"):
        run(bundle, out, resume=True)
    run(bundle, out, **same)
    with pytest.raises(BadRun, match=r"--inner-lr was 0\.1, now 0\.2"):
        run(bundle, out, inner_lr=0.2, **same, resume=True)
    with pytest.raises(BadRun, match="holds a run"):
        run(bundle, out, steps=1)
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    (other / "manifest.json").write_bytes((other / "manifest.json").read_bytes() + b"\n")
    with pytest.raises(BadRun, match="another bundle"):
        run(other, out, **same, resume=True)
    assert run(bundle, out, **same, force=True).finished


def test_force_clears_no_folder_that_is_not_a_run(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BadRun, match="something else than a run"):
        run(bundle, tmp_path, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_masks_of_a_bundle(bundle: Path, capsys: Any, monkeypatch: Any) -> None:
    code, out, _ = command(capsys, monkeypatch, "masks", bundle, "--json")
    assert code == 0
    report = json.loads(out)
    assert report["wrong"] == {}
    assert report["rows"] > 600
    assert report["like_special"] == 1
    assert sum(each["trained_tokens"] for each in report["shares"].values()) == pytest.approx(1)
    code, out, _ = command(capsys, monkeypatch, "masks", bundle, "--max-tokens", "120")
    assert code == 1
    assert "longer than --max-tokens" in out


def test_wrong_arguments_are_one_sentence(capsys: Any, monkeypatch: Any) -> None:
    code, _, said = command(capsys, monkeypatch, "train", "--algo", "adam")
    assert code == 2
    assert said.count("\n") == 1
    assert "./run train --help" in said


def test_rates_that_lead_nowhere(bundle: Path, small: str, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    code, _, said = command(capsys, monkeypatch, "train", "--data", bundle, "--algo", "reptile", "--inner-lr", "0")
    assert code == 1
    assert "--inner-lr is 0.0, and has to be more than 0" in said
    with pytest.raises(BadRun, match="lower --lr or --inner-lr"):
        run(bundle, tmp_path / "run", model=small, inner_lr=1e30)


def test_a_model_that_takes_no_mask_of_packed_rows(bundle: Path, tmp_path: Path) -> None:
    """A state space model reads on from row to row, whatever its mask."""
    base = tmp_path / "base"
    tokenizer = byte_tokenizer()
    sizes = {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 1, "vocab_size": len(tokenizer)}
    MambaForCausalLM(MambaConfig(**sizes)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    same: dict[str, Any] = {"model": str(base), "algo": Algo.SFT, "steps": 1, "held_out_tasks": 1, "inner_steps": 1}
    with pytest.raises(BadRun, match="leave out --pack"):
        run(bundle, tmp_path / "run", pack=True, **same)
    assert run(bundle, tmp_path / "run", pack=False, **same).finished


def test_an_adapter_of_tiny_would_belong_to_no_model(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="--lora-rank 0"):
        run(bundle, tmp_path / "run", lora_rank=4)


def test_episodes_go_on_when_most_are_too_long() -> None:
    """Two rounds may have as many in vain between their only good one as two rounds have, less two."""
    rows = {each["id"]: each for each in (row(1, "q", "a"), row(2, "q", "b"), row(3, "q", "long" * 50))}
    good, bad = (
        Episode("good", "train", "d", None, None, (1,), (2,)),
        [Episode(str(n), "train", "d", None, None, (3,), (3,)) for n in range(4)],
    )
    for seed in range(5):
        lengths = Lengths(byte_tokenizer(), rows, 60)
        taken = lengths.take(in_turns([good, *bad], seed), 20, 5)
        assert [each.name for each in taken] == ["good"] * 20


def test_held_out_episodes_are_of_as_many_tasks_as_can_be() -> None:
    episodes = [Episode(f"{topic}/{at}", "test", "math", topic, None, (1,), (2,)) for topic in "ab" for at in range(3)]
    assert [each.name for each in spread(episodes)] == ["a/0", "b/0", "a/1", "b/1", "a/2", "b/2"]
