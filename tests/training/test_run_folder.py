"""The folder of a run after a crash, on a full disk, and with files in it that are nobody's run."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.training.models import small_llama
from tests.training.runs import run
from training.errors import BadRun
from training.models import Model
from training.run_folder import MODEL, RunFolder
from training.tokenizing import byte_tokenizer

LARGE = {"tensor": torch.zeros(100_000)}


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """As on a full disk: what is written beyond `size` bytes of a file fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint({"step": 1})
    with no_file_over(30_000), pytest.raises(BadRun, match=r"checkpoint\.pt cannot be written .*--resume"):
        folder.save_checkpoint(LARGE)
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True) == {"step": 1}


def test_a_model_that_does_not_fit_the_disk_is_said(tmp_path: Path) -> None:
    module = small_llama()
    model = Model(module, dict(module.named_parameters()), "eager")
    with no_file_over(30_000), pytest.raises(BadRun, match=r"model cannot be written .*--resume"):
        model.save(tmp_path / MODEL, {}, byte_tokenizer())


def test_a_run_killed_while_it_first_saved_can_be_begun_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / ".checkpoint.pt.unfinished").write_bytes(b"half of it")
    folder.require_free(force=False)
    folder.begin()
    assert list(tmp_path.iterdir()) == []


def test_a_save_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.pt.unfinished").write_bytes(b"half of it")
    RunFolder(tmp_path).save_checkpoint({"step": 1})
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_force_that_was_killed_half_way_can_be_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MODEL).mkdir()
    for name in ("checkpoint.pt", "metrics.json", "loss.png"):
        (tmp_path / name).touch()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path).begin()
    RunFolder(tmp_path).require_free(force=True)
    RunFolder(tmp_path).begin()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [{"epoch": 3}, [1, 2]])
def test_the_checkpoint_of_something_else_is_no_run(kept: object, tmp_path: Path) -> None:
    torch.save(kept, tmp_path / "checkpoint.pt")
    with pytest.raises(BadRun, match="begin anew with --force"):
        RunFolder(tmp_path).load_checkpoint()


def test_a_model_that_is_another_than_the_run_began_with(bundle: Path, tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "run"
    small_llama().save_pretrained(base)
    byte_tokenizer().save_pretrained(base)
    run(bundle, out, model=str(base), steps=1, held_out_tasks=1, baseline=False)
    small_llama(300).save_pretrained(base)
    with pytest.raises(BadRun, match="another model"):
        run(bundle, out, model=str(base), steps=2, held_out_tasks=1, baseline=False, resume=True)
