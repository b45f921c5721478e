"""Gradients of what is left after adapting: MAML and its first-order relatives, for any loss of any parameters.

A loss comes in parts, functions of the parameters whose sum it is, so that each part's graph can go before the next is
made. Sources: Finn, Abbeel and Levine 2017 (MAML, FOMAML); Nichol, Achiam and Schulman 2018 (Reptile).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Parameters = Mapping[str, torch.Tensor]
Loss = Callable[[Parameters], torch.Tensor]
Parts = Sequence[Loss]


@dataclass(frozen=True, slots=True)
class Gradient:
    """The value of a loss and its gradient by the name of each parameter."""

    value: float
    by_name: dict[str, torch.Tensor]


def gradient(parts: Parts, parameters: Parameters) -> Gradient:
    """The plain gradient of the sum of the parts."""
    leaves = _leaves(parameters)
    value, slopes = _slopes(parts, leaves, create_graph=False)
    return Gradient(value, slopes)


def adapt(parts: Parts, parameters: Parameters, lr: float, steps: int) -> dict[str, torch.Tensor]:
    """The parameters after `steps` steps of gradient descent; no graph leads back."""
    adapted = _leaves(parameters)
    for _ in range(steps):
        adapted = _leaves(_descend(adapted, _slopes(parts, adapted, create_graph=False)[1], lr))
    return adapted


def fomaml(support: Parts, query: Parts, parameters: Parameters, lr: float, steps: int) -> Gradient:
    """The gradient of the query loss at the adapted parameters, as if adapting had moved nothing but the point."""
    return gradient(query, adapt(support, parameters, lr, steps))


def maml(support: Parts, query: Parts, parameters: Parameters, lr: float, steps: int) -> Gradient:
    """The gradient of the query loss after adapting, by the parameters before it: through every inner step.

    The whole graph of the inner steps is held; the query's parts are taken one by one. The model must be twice
    differentiable: attention of `attn_implementation="eager"` is, fused kernels are not.
    """
    start = _leaves(parameters)
    adapted: Parameters = start
    for _ in range(steps):
        adapted = _descend(adapted, _slopes(support, adapted, create_graph=True)[1], lr)
    after = gradient(query, adapted)
    names = list(start)
    outputs = [adapted[name] for name in names]
    slopes = torch.autograd.grad(outputs, [start[name] for name in names], [after.by_name[name] for name in names])
    return Gradient(after.value, dict(zip(names, slopes, strict=True)))


def reptile(parts_by_step: Sequence[Parts], parameters: Parameters, lr: float) -> Gradient:
    """The way from the adapted parameters back to the start, over `lr`: a step of SGD with rate r moves r / `lr` of it.

    Each inner step has rows of its own: on the same rows throughout it would be joint training, less what curvature
    adds. The value is the mean of the losses on the way.
    """
    adapted = _leaves(parameters)
    values = []
    for parts in parts_by_step:
        value, slopes = _slopes(parts, adapted, create_graph=False)
        adapted = _leaves(_descend(adapted, slopes, lr))
        values.append(value)
    way = {name: (parameters[name].detach() - adapted[name].detach()) / lr for name in adapted}
    return Gradient(sum(values) / len(values), way)


def weighted_sum(gradients: Sequence[Gradient], weights: Sequence[float]) -> Gradient:
    """Each gradient times its weight, added up; the same of the values."""
    value = sum(each.value * weight for each, weight in zip(gradients, weights, strict=True))
    by_name = {
        name: sum((each.by_name[name] * weight for each, weight in zip(gradients, weights, strict=True)), start=0 * one)
        for name, one in gradients[0].by_name.items()
    }
    return Gradient(value, by_name)


def _slopes(parts: Parts, parameters: Parameters, *, create_graph: bool) -> tuple[float, dict[str, torch.Tensor]]:
    names = list(parameters)
    value = 0.0
    total: list[torch.Tensor] = []
    for part in parts:
        loss = part(parameters)
        slopes = torch.autograd.grad(loss, [parameters[name] for name in names], create_graph=create_graph)
        total = [one + more for one, more in zip(total, slopes, strict=True)] if total else list(slopes)
        value += float(loss.detach())
    return value, dict(zip(names, total, strict=True))


def _descend(parameters: Parameters, slopes: Parameters, lr: float) -> dict[str, torch.Tensor]:
    return {name: tensor - lr * slopes[name] for name, tensor in parameters.items()}


def _leaves(parameters: Parameters) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
