"""A run from its bundle to its model: train, keep, stop, go on, judge."""

import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from shared.bundle.read import Episode
from training.errors import BadRun
from training.isolation import require_isolation
from training.judging import judge
from training.learning import Learner, Task, Workbench
from training.models import Model, load_model, tokenizer_for
from training.plot import draw
from training.run_folder import MODEL, PLOT, RunFolder, require_same
from training.settings import GRADIENT_NORM_LIMIT, SAID, Settings
from training.stopping import Stopping
from training.tasks import Tasks, load_tasks
from training.tokenizing import pad_id_of

SAVE_EVERY_SECONDS = 60.0
UNTRAINED = "untrained"

# Told what is being done, how much of it is, of how much, and the losses where there are any.
Told = Callable[[str, int, int, Mapping[str, float]], None]


@dataclass(slots=True)
class Progress:
    """What a checkpoint keeps beside the learners."""

    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)  # of each step, by learner
    answer_tokens: int = 0  # of the steps so far, EOS included, each row as often as it came
    held_out: dict[str, Any] = field(default_factory=dict)  # curves by name
    seconds: float = 0.0  # up to the checkpoint, of all parts of a resumed run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; `metrics` are those of metrics.json."""

    finished: bool
    metrics: dict[str, Any]


def train(bundle: Path, out: Path, settings: Settings, *, resume: bool, force: bool, told: Told) -> Outcome:
    """Train and judge; everything is in `out` when it returns. Raises BadRun and BadBundle."""
    folder = RunFolder(out)
    kept = folder.load_checkpoint() if resume else None
    if kept is None:
        folder.require_free(force=force)
    tokenizer = tokenizer_for(settings.model)
    tasks = load_tasks(bundle, tokenizer, settings, lambda done, of: told("reading episodes", done, of, {}))
    model = load_model(
        settings.model,
        tokenizer,
        algo=settings.algo,
        lora_rank=settings.lora_rank,
        seed=settings.seed,
        max_tokens=settings.max_tokens,
    )
    if settings.pack:
        require_isolation(model.module, settings.model)
    run = Run(folder, settings, tasks, model, told)
    if kept is None:
        folder.begin()
    else:
        require_same(kept, settings.to_json(), tasks.origin["manifest_sha256"], out)
        run.restore(kept)
    with Stopping() as stopping:
        return run.go(stopping)


class Run:
    """The learners of one run, side by side on the same tasks."""

    def __init__(self, folder: RunFolder, settings: Settings, tasks: Tasks, model: Model, told: Told) -> None:
        self._folder, self._settings, self._tasks, self._model, self._told = folder, settings, tasks, model, told
        self._bench = Workbench(model.module, settings, pad_id_of(tasks.tokenizer))
        self._learners = [Learner(name, model.parameters, settings.lr) for name in settings.learners]
        self._progress = Progress()
        self._began = time.monotonic()

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Stand where a checkpoint was made."""
        for learner in self._learners:
            state = kept["learners"][learner.name]
            if _shapes(state["parameters"]) != _shapes(learner.parameters):
                raise BadRun(f"{self._folder.path} was begun with another model than {self._settings.model} now is.")
            learner.restore(state)
        self._progress = Progress(**kept["progress"])
        self._began -= self._progress.seconds

    def go(self, stopping: Stopping) -> Outcome:
        """Until all steps are done and judged, or until asked to stop; then saved, and the same run can go on."""
        if not self._progress.held_out:
            self._judge(UNTRAINED, self._model.parameters, stopping)
        saved_at = time.monotonic()
        while self._progress.step < self._settings.steps and not stopping.asked:
            self._step()
            if time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                self._save()
                saved_at = time.monotonic()
        self._save()
        finished = self._progress.step == self._settings.steps and all(
            self._judge(learner.name, learner.parameters, stopping) for learner in self._learners
        )
        if finished:
            first = self._learners[0]
            self._model.save(self._folder.path / MODEL, first.parameters, self._tasks.tokenizer)
        metrics = self.metrics(finished=finished)
        self._folder.write_metrics(metrics)
        draw(metrics, self._folder.path / PLOT)
        return Outcome(finished, metrics)

    def metrics(self, *, finished: bool) -> dict[str, Any]:
        """All that is known of the run."""
        settings, progress, tasks = self._settings, self._progress, self._tasks
        return {
            "finished": finished,
            "rehearsal": tasks.origin["rehearsal"],
            "bundle": dict(tasks.origin),
            "settings": settings.to_json(),
            "loss_is": f"{SAID[settings.loss]}, in nats",
            "gradient_norm_limit": GRADIENT_NORM_LIMIT,
            "model": self._model.describe(),
            "tokenizer": {"ids": len(tasks.tokenizer), "eos": tasks.tokenizer.eos_token},
            "data": {**tasks.counts, "answer_tokens_of_all_steps": progress.answer_tokens},
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("torch", "transformers", "peft")},
            "threads": torch.get_num_threads(),
            "seconds": round(self._seconds(), 1),
            "steps": [{"step": at, **losses} for at, losses in enumerate(progress.losses, start=1)],
            "held_out": {
                "split": "test",
                "episodes": [each.name for each in self._tasks.held_out],
                "inner_steps": list(range(settings.inner_steps + 1)),
                "curves": progress.held_out,
            },
        }

    def _step(self) -> None:
        progress, settings = self._progress, self._settings
        episodes = self._tasks.of_step(progress.step, settings.tasks_per_step)
        tasks = self._encoded(episodes)
        losses = {learner.name: learner.step(self._bench, tasks) for learner in self._learners}
        if not all(map(math.isfinite, losses.values())):
            raise BadRun(
                f"The loss or the gradient of step {progress.step + 1} is no number: "
                "begin anew with a lower --lr or --inner-lr."
            )
        progress.losses.append(losses)
        progress.answer_tokens += sum(row.trained for task in tasks for row in (*task.support, *task.query))
        progress.step += 1
        self._told("training", progress.step, settings.steps, losses)

    def _judge(self, name: str, parameters: Mapping[str, torch.Tensor], stopping: Stopping) -> bool:
        """Whether it came to an end before it was asked to stop."""
        tasks = self._encoded(self._tasks.held_out)

        def told(done: int) -> None:
            self._told(f"judging {name}", done, len(tasks), {})

        curve = judge(self._bench, tasks, parameters, told, lambda: stopping.asked)
        if curve is not None:
            self._progress.held_out[name] = curve.to_json()
        return curve is not None

    def _encoded(self, episodes: Sequence[Episode]) -> list[Task]:
        encoded = self._tasks.encoded
        return [Task(encoded(episode.support), encoded(episode.query)) for episode in episodes]

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _save(self) -> None:
        progress = self._progress
        self._folder.save_checkpoint(
            {
                "manifest_sha256": self._tasks.origin["manifest_sha256"],
                "settings": self._settings.to_json(),
                "step": progress.step,
                "progress": {
                    "step": progress.step,
                    "losses": progress.losses,
                    "answer_tokens": progress.answer_tokens,
                    "held_out": progress.held_out,
                    "seconds": self._seconds(),
                },
                "learners": {learner.name: learner.state() for learner in self._learners},
            }
        )


def _shapes(parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in parameters.items()}
