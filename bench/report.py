"""What a measure found: numbers of each round, what follows from them, and a plot."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from matplotlib import rcParams
from matplotlib.figure import Figure

# The same numbers give the same file.
rcParams["svg.hashsalt"] = "questmill"
rcParams["svg.fonttype"] = "none"


@dataclass(frozen=True, slots=True)
class Report:
    """`rounds` holds the numbers of each round, `result` their median or worst, `holds` whether the claim does.

    `draw` fills a Figure of 7 x 3.5 inches.
    """

    claim: str
    rounds: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any]
    holds: bool
    draw: Callable[[Figure], None]
    notes: Sequence[str] = field(default_factory=tuple)

    def to_json(self) -> str:
        """All but the plot, for people and programs."""
        content = {
            "claim": self.claim,
            "holds": self.holds,
            "result": self.result,
            "rounds": self.rounds,
            "notes": self.notes,
            "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        }
        return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()

    def write(self, folder: Path, name: str) -> None:
        """NAME.json and NAME.svg in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(self.to_json())
        figure = Figure(figsize=(7, 3.5), layout="constrained")
        self.draw(figure)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each number over the rounds, to three digits behind the point."""
    return {name: round(median(each[name] for each in rounds), 3) for name in rounds[0]}


def draw_bars(figure: Figure, bars: Mapping[str, float], *, label: str, bound: float | None = None) -> None:
    """A horizontal bar for each name, and a line at the bound."""
    axes = figure.add_subplot()
    drawn = axes.barh(list(bars), list(bars.values()), color="#4c72b0")
    axes.bar_label(drawn, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    if bound is not None:
        axes.axvline(bound, color="#c44e52", linestyle="--", linewidth=1)
