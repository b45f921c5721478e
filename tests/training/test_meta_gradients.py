"""Meta-gradients on toys small enough to differentiate by hand, in float64."""

from collections.abc import Callable

import pytest
import torch

from tests.training.toys import held_out_loss, regression_parts, sample_tasks, train_toy, two_layers
from training.meta_gradients import Gradient, Parameters, adapt, fomaml, gradient, maml, reptile, weighted_sum

STEP = 1e-5
TOLERANCE = 1e-8
INNER_LR, INNER_STEPS = 0.1, 3


def central_differences(after: Callable[[Parameters], float], parameters: Parameters) -> dict[str, torch.Tensor]:
    """(f(x + h) - f(x - h)) / 2h by each element; off by about h squared and by rounding over h: 1e-10 here."""
    slopes = {}
    for name, tensor in parameters.items():
        slope = torch.zeros_like(tensor).flatten()
        for at in range(tensor.numel()):
            ends = []
            for sign in (1, -1):
                moved = tensor.clone().flatten()
                moved[at] += sign * STEP
                ends.append(after({**parameters, name: moved.view_as(tensor)}))
            slope[at] = (ends[0] - ends[1]) / (2 * STEP)
        slopes[name] = slope.view_as(tensor)
    return slopes


def against_differences(meta: Callable[..., Gradient], inner_steps: int = INNER_STEPS) -> float:
    """The largest distance of an element from the central difference of the query loss after adapting."""
    parameters = two_layers(seed=1)
    support, query = regression_parts(seed=2), regression_parts(seed=3)

    def after(its: Parameters) -> float:
        return gradient(query, adapt(support, its, INNER_LR, inner_steps)).value

    found = meta(support, query, parameters, INNER_LR, inner_steps)
    assert found.value == pytest.approx(after(parameters), abs=1e-14)
    true = central_differences(after, parameters)
    worst = max(float((found.by_name[name] - slope).abs().max()) for name, slope in true.items())
    print(f"{meta.__name__}, {inner_steps} inner steps: {worst:.1e}")
    return worst


@pytest.mark.parametrize("inner_steps", [1, 3, 5])
def test_maml_is_the_second_order_gradient(inner_steps: int) -> None:
    assert against_differences(maml, inner_steps) <= TOLERANCE


def test_fomaml_fails_that_same_test() -> None:
    assert against_differences(fomaml) > 1000 * TOLERANCE


def test_without_inner_steps_all_are_the_plain_gradient() -> None:
    assert against_differences(maml, 0) <= TOLERANCE
    assert against_differences(fomaml, 0) <= TOLERANCE


def test_reptile_points_from_where_it_came_to_the_start() -> None:
    parameters = two_layers(seed=1)
    steps = [regression_parts(seed=number) for number in (2, 3, 4)]
    moved: Parameters = parameters
    for parts in steps:
        moved = adapt(parts, moved, INNER_LR, 1)
    found = reptile(steps, parameters, INNER_LR)
    for name, tensor in parameters.items():
        assert torch.allclose(tensor - INNER_LR * found.by_name[name], moved[name], atol=1e-14, rtol=0)
    once = reptile(steps[:1], parameters, INNER_LR).by_name
    plain = gradient(steps[0], parameters).by_name
    assert all(torch.allclose(once[name], slope, atol=1e-13, rtol=0) for name, slope in plain.items())


def test_weights_are_of_whole_tasks() -> None:
    parameters = two_layers(seed=1)
    one, two = (gradient(regression_parts(seed=number), parameters) for number in (2, 3))
    both = weighted_sum([one, two], [0.25, 0.75])
    assert both.value == pytest.approx(0.25 * one.value + 0.75 * two.value)
    name = next(iter(parameters))
    assert torch.allclose(both.by_name[name], 0.25 * one.by_name[name] + 0.75 * two.by_name[name])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_was_trained_to_adapt_adapts_best(seed: int) -> None:
    """Held-out query loss after 3 inner steps: MAML < FOMAML < multi-task, by 3 % at least."""
    held_out = sample_tasks(64, seed=1000 + seed)
    losses = {algo: held_out_loss(train_toy(algo, seed), held_out) for algo in ("maml", "fomaml", "multi-task")}
    print(f"seed {seed}: " + ", ".join(f"{algo} {loss:.4f}" for algo, loss in losses.items()))
    assert losses["maml"] < 0.97 * losses["fomaml"]
    assert losses["fomaml"] < 0.97 * losses["multi-task"]


def test_adapting_helps_on_the_toy() -> None:
    held_out = sample_tasks(64, seed=1000)
    trained = train_toy("maml", 0)
    assert held_out_loss(trained, held_out) < 0.5 * held_out_loss(trained, held_out, inner_steps=0)
