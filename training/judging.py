"""How well parameters adapt to held-out tasks: the query loss after 0, 1 ... K steps on the support."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.learning import Task, Workbench, weights
from training.loss import logits_of, summed_loss
from training.meta_gradients import adapt


@dataclass(frozen=True, slots=True)
class Curve:
    """Losses in nats per trained token after 0..K inner steps, and the standard error of each over the tasks."""

    loss: list[float]
    error: list[float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"loss": self.loss, "standard_error": self.error}


def judge(
    bench: Workbench,
    tasks: Sequence[Task],
    parameters: Mapping[str, torch.Tensor],
    told: Callable[[int], None] = lambda _: None,
) -> Curve:
    """Adapt to each task alone, always from the same parameters, and ask its query rows."""
    losses = []
    for done, task in enumerate(tasks, start=1):
        losses.append(_losses(bench, task, parameters))
        told(done)
    shares = weights(bench.settings.loss, [sum(row.trained for row in task.query) for task in tasks])
    means = [sum(share * each[at] for share, each in zip(shares, losses, strict=True)) for at in range(len(losses[0]))]
    return Curve(means, [_error([each[at] for each in losses], shares, mean) for at, mean in enumerate(means)])


def _losses(bench: Workbench, task: Task, parameters: Mapping[str, torch.Tensor]) -> list[float]:
    support = bench.parts(task.support)
    asked = bench.batches(task.query)
    trained = sum(batch.trained for batch in asked)
    found = []
    adapted = dict(parameters)
    for step in range(bench.settings.inner_steps + 1):
        if step:
            adapted = adapt(support, adapted, bench.settings.inner_lr, 1)
        with torch.no_grad():
            found.append(
                sum(float(summed_loss(logits_of(bench.module, adapted, each), each.labels)) for each in asked) / trained
            )
    return found


def _error(values: Sequence[float], shares: Sequence[float], mean: float) -> float:
    """Of a weighted mean of independent tasks."""
    return math.sqrt(sum((share * (value - mean)) ** 2 for share, value in zip(shares, values, strict=True)))
