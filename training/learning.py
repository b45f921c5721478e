"""One step of training: the gradient of each task by the run's algorithm, their weighted sum, and AdamW."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.collating import Batch, pack, pad
from training.encoding import Encoded
from training.loss import mean_loss_parts
from training.meta_gradients import Gradient, Loss, fomaml, gradient, maml, reptile, weighted_sum
from training.settings import BASELINE, GRADIENT_NORM_LIMIT, Algo, Normalise, Settings


@dataclass(frozen=True, slots=True)
class Task:
    """The rows of one episode."""

    support: Sequence[Encoded]
    query: Sequence[Encoded]


@dataclass(frozen=True, slots=True)
class Workbench:
    """A model and how rows are laid before it."""

    module: Any
    settings: Settings
    pad_id: int

    def parts(self, rows: Sequence[Encoded]) -> list[Loss]:
        """Functions whose sum is the mean loss over the trained tokens of these rows."""
        return mean_loss_parts(self.module, self.batches(rows))

    def batches(self, rows: Sequence[Encoded]) -> list[Batch]:
        """The rows in --accumulate batches, those of one length together."""
        ordered = sorted(rows, key=len)
        size = -(-len(ordered) // self.settings.accumulate)
        chunks = [ordered[at : at + size] for at in range(0, len(ordered), size)]
        if self.settings.pack:
            return [pack(each, self.pad_id, self.settings.max_tokens) for each in chunks]
        return [pad(each, self.pad_id) for each in chunks]


class Learner:
    """Parameters of its own, trained by one algorithm. `name` is that of an Algo, or BASELINE."""

    def __init__(self, name: str, parameters: Mapping[str, torch.Tensor], lr: float) -> None:
        self.name = name
        self.algo = Algo.SFT if name == BASELINE else Algo(name)
        self.parameters = {each: tensor.detach().clone().requires_grad_() for each, tensor in parameters.items()}
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=lr, weight_decay=0.0)

    def step(self, bench: Workbench, tasks: Sequence[Task]) -> float:
        """Move once; the loss of the step, before it, in nats per trained token. NaN, and nothing has moved, where the
        gradient is no number."""
        slopes = [task_gradient(self.algo, bench, task, self.parameters) for task in tasks]
        trained = [trained_tokens(self.algo, task) for task in tasks]
        total = weighted_sum(slopes, weights(bench.settings.loss, trained))
        for name, tensor in self.parameters.items():
            tensor.grad = total.by_name[name]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), GRADIENT_NORM_LIMIT)
        if not bool(norm.isfinite()):
            return math.nan
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total.value

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        tensors = {name: tensor.detach() for name, tensor in self.parameters.items()}
        return {"parameters": tensors, "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        with torch.no_grad():
            for name, tensor in self.parameters.items():
                tensor.copy_(state["parameters"][name])
        self.optimizer.load_state_dict(state["optimizer"])


def task_gradient(algo: Algo, bench: Workbench, task: Task, parameters: Mapping[str, torch.Tensor]) -> Gradient:
    """What one task says. MAML and FOMAML adapt on support and ask the query; the others use all rows alike."""
    lr, steps = bench.settings.inner_lr, bench.settings.inner_steps
    rows = [*task.support, *task.query]
    match algo:
        case Algo.SFT:
            return gradient(bench.parts(rows), parameters)
        case Algo.REPTILE:
            shares = [share for at in range(steps) if (share := rows[at::steps])]
            return reptile([bench.parts(share) for share in shares], parameters, lr)
        case Algo.FOMAML:
            return fomaml(bench.parts(task.support), bench.parts(task.query), parameters, lr, steps)
        case Algo.MAML:
            return maml(bench.parts(task.support), bench.parts(task.query), parameters, lr, steps)


def trained_tokens(algo: Algo, task: Task) -> int:
    """How many tokens the value of a task's loss is the mean over."""
    rows = task.query if algo in {Algo.MAML, Algo.FOMAML} else [*task.support, *task.query]
    return sum(row.trained for row in rows)


def weights(by: Normalise, trained: Sequence[int]) -> list[float]:
    """What each task's mean weighs in the step; they add up to 1."""
    if by is Normalise.TASKS:
        return [1 / len(trained)] * len(trained)
    return [each / sum(trained) for each in trained]
