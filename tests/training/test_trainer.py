"""The trainer: what it writes, how it goes on, and that how a step is cut up changes nothing."""

import hashlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.models import bpe_tokenizer, small_llama
from tests.training.rows import NASTY, some_rows
from tests.training.runs import SHORT, run
from training.encoding import encode
from training.judging import standard_error
from training.learning import Learner, Task, Workbench, task_gradient, weights
from training.loss import mean_loss_parts, summed_loss
from training.meta_gradients import Gradient, gradient
from training.models import load_model
from training.settings import Algo, Normalise
from training.tokenizing import byte_tokenizer
from training.train_view import outcome_view

TOLERANCE = 2e-6
ROOT = Path(__file__).parents[2]


def without_time(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "seconds"}


def parameters_in(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    learners = torch.load(out / "checkpoint.pt", weights_only=True)["learners"]
    return {name: state["parameters"] for name, state in learners.items()}


def equal(one: dict[str, dict[str, torch.Tensor]], other: dict[str, dict[str, torch.Tensor]]) -> bool:
    return all(torch.equal(tensor, other[name][each]) for name, held in one.items() for each, tensor in held.items())


@pytest.fixture(scope="module")
def whole(bundle: Path, small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps, never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert run(bundle, out, model=small).finished
    return out


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    bundle: Path, small: str, whole: Path, tmp_path: Path
) -> None:
    def interrupt(what: str, done: int, *_: Any) -> None:
        if (what, done) == ("training", 2):
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "run"
    stopped = run(bundle, out, model=small, told=interrupt)
    assert not stopped.finished
    assert len(stopped.metrics["steps"]) == 2
    assert not equal(parameters_in(whole), parameters_in(out))
    assert run(bundle, out, model=small, resume=True).finished
    assert equal(parameters_in(whole), parameters_in(out))
    one, other = (json.loads((each / "metrics.json").read_text()) for each in (whole, out))
    assert without_time(one) == without_time(other)


def test_asked_to_stop_while_judging_it_stops_and_goes_on_to_the_same(
    bundle: Path, small: str, whole: Path, tmp_path: Path
) -> None:
    """First while the untrained model is judged, then while the trained one is."""
    out = tmp_path / "run"
    judged = []

    def interrupt(at: str) -> Any:
        def told(what: str, done: int, *_: Any) -> None:
            judged.append((what, done))
            if (what, done) == (at, 1):
                os.kill(os.getpid(), signal.SIGTERM)

        return told

    for at, steps, resume in (("judging untrained", 0, False), ("judging maml", 3, True)):
        stopped = run(bundle, out, model=small, told=interrupt(at), resume=resume)
        assert judged[-1] == (at, 1)
        assert not stopped.finished
        assert json.loads((out / "metrics.json").read_text())["finished"] is False
        assert len(stopped.metrics["steps"]) == steps
    assert run(bundle, out, model=small, resume=True).finished
    assert equal(parameters_in(whole), parameters_in(out))
    one, other = (json.loads((each / "metrics.json").read_text()) for each in (whole, out))
    assert without_time(one) == without_time(other)


def test_a_longer_run_that_is_resumed_equals_one_in_a_piece(
    bundle: Path, small: str, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run(bundle, out, model=small, steps=1)
    run(bundle, out, model=small, steps=2, resume=True)
    metrics = run(bundle, out, model=small, steps=3, resume=True).metrics
    assert equal(parameters_in(whole), parameters_in(out))
    assert metrics["held_out"] == json.loads((whole / "metrics.json").read_text())["held_out"]


def test_the_seconds_of_a_resumed_run_are_of_all_its_parts(bundle: Path, small: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    same: dict[str, Any] = {"model": small, "algo": Algo.SFT, "held_out_tasks": 1}
    run(bundle, out, steps=1, **same)
    kept = torch.load(out / "checkpoint.pt", weights_only=True)
    kept["progress"]["seconds"] = 5000.0
    torch.save(kept, out / "checkpoint.pt")
    assert 5000 < run(bundle, out, steps=2, resume=True, **same).metrics["seconds"] < 5600


def test_what_diverges_is_null_and_no_nan_in_json(bundle: Path, small: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    outcome = run(bundle, out, model=small, algo=Algo.SFT, inner_lr=1e30, steps=1, held_out_tasks=2)

    def no_json(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    metrics = json.loads((out / "metrics.json").read_text(), parse_constant=no_json)
    curve = metrics["held_out"]["curves"]["sft"]
    assert curve["loss"][0] > 0
    assert curve["loss"][-1] is curve["standard_error"][-1] is None
    printed = Console(record=True, width=200)
    printed.print(outcome_view(outcome.metrics, out))
    assert "diverged" in printed.export_text()


def test_standard_errors_are_of_the_sample() -> None:
    """Equal weights: the sample's standard deviation over the root of its size; of one task nothing is known."""
    values = [2.0, 3.0, 7.0, 4.0]
    found = standard_error(values, [1 / 4] * 4, 4.0)
    assert found == pytest.approx(statistics.stdev(values) / 2)
    assert math.isnan(standard_error([2.0], [1.0], 2.0))


def test_another_seed_is_another_run(bundle: Path, small: str, whole: Path, tmp_path: Path) -> None:
    run(bundle, tmp_path / "run", model=small, seed=1)
    assert not equal(parameters_in(whole), parameters_in(tmp_path / "run"))


def test_metrics_say_all_that_decided_the_run(bundle: Path, small: str, whole: Path) -> None:
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["bundle"]["manifest_sha256"] == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    assert metrics["settings"] == {**SHORT.to_json(), "model": small}
    assert metrics["rehearsal"] is True
    assert metrics["model"]["attention"] == "eager"
    assert "trained tokens" in metrics["loss_is"]
    assert [list(each) for each in metrics["steps"]] == [["step", "maml", "multi-task"]] * 3
    assert set(metrics["held_out"]["curves"]) == {"untrained", "maml", "multi-task"}
    assert all(len(curve["loss"]) == 3 for curve in metrics["held_out"]["curves"].values())
    assert len(metrics["held_out"]["episodes"]) == 2
    assert all(name.startswith("test/") for name in metrics["held_out"]["episodes"])
    assert (whole / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_model_loads_in_transformers_with_its_tokenizer(whole: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(whole / "model")
    trained = parameters_in(whole)["maml"]
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.named_parameters())
    tokenizer = AutoTokenizer.from_pretrained(whole / "model")
    rows = some_rows(12)
    assert encode(tokenizer, rows) == encode(byte_tokenizer(), rows)


def test_tiny_stops_generating_at_the_eos_that_it_is_trained_on(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tiny = load_model("tiny", tokenizer, algo=Algo.SFT, lora_rank=0, seed=0, max_tokens=64)
    tiny.save(tmp_path, {}, tokenizer)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).generation_config
    assert (loaded.bos_token_id, loaded.eos_token_id) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


@pytest.mark.parametrize("algo", [Algo.SFT, Algo.FOMAML, Algo.REPTILE])
def test_every_algorithm_learns(algo: Algo, bundle: Path, small: str, tmp_path: Path) -> None:
    metrics = run(bundle, tmp_path / "run", model=small, algo=algo, steps=12, baseline=False, lr=0.01).metrics
    curves = metrics["held_out"]["curves"]
    assert set(curves) == {"untrained", algo.value}
    last = -1 if algo is not Algo.SFT else 0
    assert curves[algo.value]["loss"][last] < curves["untrained"]["loss"][last] - 0.3


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_lora_trains_the_adapter_only_and_peft_loads_it(bundle: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    tokenizer = bpe_tokenizer(NASTY)
    small_llama(len(tokenizer)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    out = tmp_path / "run"
    metrics = run(bundle, out, model=str(base), lora_rank=4, lr=0.01).metrics
    trained = parameters_in(out)["maml"]
    assert all("lora_" in name for name in trained)
    assert metrics["model"]["trained_parameters"] == sum(each.numel() for each in trained.values())
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), out / "model")
    loaded = {name: tensor for name, tensor in again.named_parameters() if "lora_" in name}
    assert set(loaded) == set(trained)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.items())
    assert any(float(tensor.abs().max()) > 0 for name, tensor in trained.items() if "lora_B" in name)


BENCH = Workbench(small_llama(), replace(SHORT, max_tokens=400), byte_tokenizer().eos_token_id)
ROWS = encode(byte_tokenizer(), some_rows(20))
TASK = Task(ROWS[:8], ROWS[8:])
PARAMETERS = dict(small_llama().named_parameters())


@pytest.mark.parametrize("algo", list(Algo))
def test_accumulating_and_packing_change_no_gradient(algo: Algo) -> None:
    """Whole gradients of a task, inner steps included: for each algorithm, 1, 2, 4, 8 batches and packed."""
    found = {}
    for accumulate, pack in ((1, False), (2, False), (4, False), (8, False), (1, True), (3, True)):
        bench = replace(BENCH, settings=replace(BENCH.settings, accumulate=accumulate, pack=pack))
        found[accumulate, pack] = task_gradient(algo, bench, TASK, PARAMETERS).by_name
    one = found.pop((1, False))
    worst = max(float((each[name] - slope).abs().max()) for each in found.values() for name, slope in one.items())
    print(f"{algo}: {worst:.1e}")
    assert worst <= TOLERANCE


def test_a_step_by_tokens_is_the_mean_over_all_its_tokens() -> None:
    tasks = [Task(ROWS[:3], ROWS[3:5]), Task(ROWS[5:9], ROWS[9:20])]
    means = [gradient(BENCH.parts([*task.support, *task.query]), PARAMETERS).value for task in tasks]
    every = gradient(mean_loss_parts(BENCH.module, BENCH.batches(ROWS)), PARAMETERS).value
    for by, expected in ((Normalise.TOKENS, every), (Normalise.TASKS, sum(means) / 2)):
        learner = Learner("sft", PARAMETERS, lr=0.0)
        loss = learner.step(replace(BENCH, settings=replace(BENCH.settings, loss=by)), tasks)
        assert loss == pytest.approx(expected, abs=1e-6)
    assert abs(every - sum(means) / 2) > 1e-3
    assert weights(Normalise.TOKENS, [1, 3]) == [0.25, 0.75]


def test_a_gradient_that_is_no_number_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    no_number = Gradient(1.0, {name: torch.full_like(each, math.inf) for name, each in PARAMETERS.items()})
    monkeypatch.setattr("training.learning.task_gradient", lambda *_: no_number)
    learner = Learner("sft", PARAMETERS, lr=0.1)
    assert math.isnan(learner.step(BENCH, [TASK]))
    assert all(torch.equal(tensor, PARAMETERS[name]) for name, tensor in learner.parameters.items())


def test_both_attentions_give_the_same_losses() -> None:
    batch = BENCH.batches(ROWS)[0]
    losses = []
    for attention in ("eager", "sdpa"):
        BENCH.module.set_attn_implementation(attention)
        packed = replace(BENCH, settings=replace(BENCH.settings, pack=True)).batches(ROWS)
        for each in (batch, *packed):
            logits = BENCH.module(each.input_ids, attention_mask=each.attention_mask, position_ids=each.position_ids)
            losses.append(float(summed_loss(logits.logits, each.labels).detach()))
    BENCH.module.set_attn_implementation("eager")
    half = len(losses) // 2
    assert losses[:half] == pytest.approx(losses[half:], rel=1e-5)


def test_a_run_from_the_command_line(bundle: Path, tmp_path: Path) -> None:
    """End to end: `python -m training train` with the real tiny model."""
    out = tmp_path / "run"
    options = [
        "--data",
        bundle,
        "--algo",
        "maml",
        "--model",
        "tiny",
        "--out",
        out,
        "--steps",
        "2",
        "--held-out-tasks",
        "1",
    ]
    command = [sys.executable, "-m", "training", "train", *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Rehearsal" in ended.stdout
    assert "--loss tokens" in ended.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["finished"] is True
    assert 0.9e6 < metrics["model"]["parameters"] < 1.1e6
