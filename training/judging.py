"""How well parameters adapt to held-out tasks: the query loss after 0, 1 ... K steps on the support."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from training.learning import Task, Workbench, weights
from training.loss import logits_of, summed_loss
from training.meta_gradients import adapt


@dataclass(frozen=True, slots=True)
class Curve:
    """Losses in nats per trained token after 0..K inner steps, and the standard error of each over the tasks."""

    loss: list[float]
    error: list[float]

    def to_json(self) -> dict[str, list[float | None]]:
        """Plain data; None where adapting diverged, and for the error of a single task."""
        return {"loss": [*map(_finite, self.loss)], "standard_error": [*map(_finite, self.error)]}


def judge(
    bench: Workbench,
    tasks: Sequence[Task],
    parameters: Mapping[str, torch.Tensor],
    told: Callable[[int], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Curve | None:
    """Adapt to each task alone, always from the same parameters, and ask its query rows; None once it is `stopped`."""
    losses = []
    for done, task in enumerate(tasks, start=1):
        if stopped():
            return None
        losses.append(_losses(bench, task, parameters))
        told(done)
    shares = weights(bench.settings.loss, [sum(row.trained for row in task.query) for task in tasks])
    means = [sum(share * each[at] for share, each in zip(shares, losses, strict=True)) for at in range(len(losses[0]))]
    return Curve(means, [standard_error([each[at] for each in losses], shares, mean) for at, mean in enumerate(means)])


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


def standard_error(values: Sequence[float], shares: Sequence[float], mean: float) -> float:
    """Of a weighted mean of n independent tasks: the root of n / (n - 1) times the sum of squares of share x deviation
    (Cochran 1977, 6.4; for equal shares s / sqrt n). NaN for one task."""
    if len(values) == 1:
        return math.nan
    squares = sum((share * (value - mean)) ** 2 for share, value in zip(shares, values, strict=True))
    return math.sqrt(squares * len(values) / (len(values) - 1))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
