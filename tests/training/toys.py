"""Toys in float64: a small network for derivatives, and tasks that differ in what they are and how steep they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from training.meta_gradients import Gradient, Loss, Parameters, adapt, fomaml, gradient, maml

INNER_LR, INNER_STEPS = 0.05, 3
SIZE, POINTS = 2, 20
META_STEPS, META_LR, TASKS_PER_STEP = 100, 0.1, 6


def two_layers(seed: int) -> dict[str, torch.Tensor]:
    """Three inputs, five tanh units, one output."""
    rng = torch.Generator().manual_seed(seed)
    shapes = {"first": (3, 5), "offset": (5,), "second": (5, 1)}
    return {name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}


def regression_parts(seed: int) -> list[Loss]:
    """The mean square error of six points, in two parts."""
    rng = torch.Generator().manual_seed(seed)
    inputs = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    targets = torch.randn(6, 1, generator=rng, dtype=torch.float64)

    def part(rows: slice) -> Loss:
        def loss(its: Parameters) -> torch.Tensor:
            said = torch.tanh(inputs[rows] @ its["first"] + its["offset"]) @ its["second"]
            return (said - targets[rows]).square().sum() / 6

        return loss

    return [part(slice(0, 2)), part(slice(2, 6))]


@dataclass(frozen=True, slots=True)
class Task:
    """Linear regression: targets = inputs @ weights + noise, POINTS to adapt on and as many to be judged by.

    Steep tasks (large inputs) have weights around one place, flat ones around another. Three steps of descent solve
    a steep task from anywhere and a flat one only from nearby: a start that knows it is going to adapt lies near the
    flat ones, while joint training goes where most loss is, to the steep ones.
    """

    inputs: torch.Tensor
    targets: torch.Tensor

    def parts(self, rows: slice) -> list[Loss]:
        return [lambda its: (self.inputs[rows] @ its["weights"] - self.targets[rows]).square().mean()]

    @property
    def support(self) -> list[Loss]:
        return self.parts(slice(0, POINTS))

    @property
    def query(self) -> list[Loss]:
        return self.parts(slice(POINTS, 2 * POINTS))


def sample_tasks(count: int, seed: int) -> list[Task]:
    rng = torch.Generator().manual_seed(seed)
    tasks = []
    for _ in range(count):
        steep = bool(torch.rand((), generator=rng) < 0.5)
        scale, place = (2.0, 1.0) if steep else (1.0, -1.0)
        weights = place + 0.1 * torch.randn(SIZE, generator=rng, dtype=torch.float64)
        inputs = scale * torch.randn(2 * POINTS, SIZE, generator=rng, dtype=torch.float64)
        noise = 0.05 * torch.randn(2 * POINTS, generator=rng, dtype=torch.float64)
        tasks.append(Task(inputs, inputs @ weights + noise))
    return tasks


def _joint(support: Sequence[Loss], query: Sequence[Loss], its: Parameters, lr: float, steps: int) -> Gradient:
    return gradient([*support, *query], its)


ALGORITHMS: Mapping[str, Callable[..., Gradient]] = {"maml": maml, "fomaml": fomaml, "multi-task": _joint}


def train_toy(algo: str, seed: int) -> dict[str, torch.Tensor]:
    """The same tasks and number of steps for each algorithm."""
    parameters = {"weights": torch.zeros(SIZE, dtype=torch.float64)}
    optimizer = torch.optim.Adam(parameters.values(), lr=META_LR)
    for step in range(META_STEPS):
        tasks = sample_tasks(TASKS_PER_STEP, seed=seed * 10_000 + step)
        slopes = [
            ALGORITHMS[algo](task.support, task.query, parameters, INNER_LR, INNER_STEPS).by_name for task in tasks
        ]
        parameters["weights"].grad = torch.stack([each["weights"] for each in slopes]).mean(0)
        for group in optimizer.param_groups:
            group["lr"] = META_LR * (1 - step / META_STEPS)
        optimizer.step()
    return parameters


def held_out_loss(parameters: Parameters, tasks: Sequence[Task], inner_steps: int = INNER_STEPS) -> float:
    losses = [gradient(task.query, adapt(task.support, parameters, INNER_LR, inner_steps)).value for task in tasks]
    return sum(losses) / len(losses)
