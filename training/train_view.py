"""The outcome of `./run train`, for a person."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table


def outcome_view(metrics: Mapping[str, Any], out: Path) -> RenderableType:
    """A line a curve of the held-out query loss, and where everything is."""
    held_out, data, model = metrics["held_out"], metrics["data"], metrics["model"]
    table = Table(box=None, pad_edge=False)
    table.add_column("inner steps")
    for step in held_out["inner_steps"]:
        table.add_column(str(step), justify="right")
    for name, curve in held_out["curves"].items():
        pairs = zip(curve["loss"], curve["standard_error"], strict=True)
        table.add_row(name, *(_with_error(loss, error) for loss, error in pairs))
    rehearsal = "Rehearsal: the questions and answers of this bundle are simulated.\n" if metrics["rehearsal"] else ""
    taken = f"{len(metrics['steps']):,} steps of {metrics['settings']['tasks_per_step']} episodes"
    dropped = f"; {data['rows_dropped']:,} longer rows left out" if data["rows_dropped"] else ""
    lines = (
        f"{rehearsal}{model['trained_parameters']:,} of {model['parameters']:,} parameters trained: {taken}, of "
        f"{data['train_episodes']:,}{dropped}; {metrics['seconds']:,.0f} s.",
        f"Query loss on {len(held_out['episodes'])} held-out episodes, in nats per token, ± its standard error:",
    )
    kept = "metrics.json, loss.png, checkpoint.pt" + (" and model/" if metrics["finished"] else "")
    return Group(*lines, table, f"{out}: {kept}")


def _with_error(loss: float | None, error: float | None) -> str:
    if loss is None:
        return "diverged"
    return f"{loss:.4f}" if error is None else f"{loss:.4f} ± {error:.4f}"
