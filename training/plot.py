"""The plot of a run: how its loss fell, and how well it adapts to held-out tasks."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072b2", "#d55e00", "#8a8a8a")  # blue, vermilion, grey: apart for the colour-blind too
SIZE = (10.0, 4.2)
DOTS_PER_INCH = 130
SMOOTHED_OVER = 20


def draw(metrics: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: left the loss of each step, right the held-out query loss after each inner step."""
    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)  # needs no display
    steps, held_out = figure.subplots(1, 2)
    learners = [name for name in metrics["steps"][0] if name != "step"] if metrics["steps"] else []
    colours = dict(zip((*learners, "untrained"), (*COLOURS[: len(learners)], COLOURS[-1]), strict=True))
    _draw_steps(steps, metrics["steps"], learners, colours)
    _draw_held_out(held_out, metrics["held_out"], colours)
    settings = metrics["settings"]
    name = Path(settings["model"]).name
    rehearsal = " (rehearsal: the questions and answers are simulated)" if metrics["rehearsal"] else ""
    figure.suptitle(f"{settings['algo']}, model {name}, dataset {metrics['bundle']['dataset']}{rehearsal}", fontsize=11)
    figure.savefig(path)


def _draw_steps(axes: Any, steps: list[dict[str, Any]], learners: list[str], colours: Mapping[str, str]) -> None:
    at = [each["step"] for each in steps]
    for name in learners:
        losses = [each[name] for each in steps]
        axes.plot(at, losses, color=colours[name], alpha=0.25, linewidth=0.8)
        axes.plot(at, smoothed(losses), color=colours[name], label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="Loss of each training step", xlabel="step", ylabel="nats per trained token")
    _finish(axes)


def _draw_held_out(axes: Any, held_out: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    at = held_out["inner_steps"]
    for name, curve in held_out["curves"].items():
        if name != "untrained" or len(held_out["curves"]) == 1:
            losses, errors = (_gaps(curve[which]) for which in ("loss", "standard_error"))
            axes.errorbar(at, losses, yerr=errors, color=colours[name], label=name, marker="o", capsize=3)
    axes.set_xticks(at)
    title = f"Query loss on {len(held_out['episodes'])} held-out episodes"
    axes.set(title=title, xlabel="inner steps on the support", ylabel="nats per trained token")
    _finish(axes)


def smoothed(values: list[float]) -> list[float]:
    """The mean of the last SMOOTHED_OVER values at each place."""
    windows = [values[max(0, at + 1 - SMOOTHED_OVER) : at + 1] for at in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _gaps(values: list[float | None]) -> list[float]:
    """What is not known leaves a gap."""
    return [math.nan if value is None else value for value in values]


def _finish(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
