"""What is counted over the rows of a bundle: for its manifest as it is written, and again when it is verified."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from shared.bundle.fields import Row
from shared.bundle.names import SPLITS

Cell = tuple[str, str]
# Rows, tokens of the prompts, tokens of the completions.
COUNTED = ("rows", "prompt_tokens", "completion_tokens")


class Tally:
    """Sums of rows as they come."""

    def __init__(self) -> None:
        self._cells: Counter[tuple[Cell, str, str]] = Counter()
        self._named: dict[str, Counter[str]] = {
            name: Counter() for name in ("tokenizer", "source", "model", "answer_model", "prompt_version")
        }
        self._rehearsed = 0
        self.rows = 0

    def add(self, split: str, row: Row) -> None:
        """One more row."""
        self.rows += 1
        cell = row["domain"], row["difficulty"]
        self._cells[cell, split, "rows"] += 1
        self._cells[cell, split, "prompt_tokens"] += row["prompt_tokens"]
        self._cells[cell, split, "completion_tokens"] += row["completion_tokens"]
        self._rehearsed += row["rehearsal"]
        for name, counts in self._named.items():
            if row[name] is not None:
                counts[row[name]] += 1

    def to_json(self, planned: Mapping[Cell, int]) -> dict[str, Any]:
        """The manifest's counts; `planned` gives the target of each cell that is known."""
        cells = sorted({cell for cell, _, _ in self._cells} | planned.keys())
        return {
            "rows": self._sums("rows"),
            "tokens": {"prompt": self._sums("prompt_tokens"), "completion": self._sums("completion_tokens")},
            "rehearsed_rows": self._rehearsed,
            "cells": [
                {
                    "domain": domain,
                    "difficulty": difficulty,
                    "planned": planned.get((domain, difficulty)),
                    **{what: self._of((domain, difficulty), what) for what in COUNTED},
                }
                for domain, difficulty in cells
            ],
            "tokenizers": _counts(self._named["tokenizer"]),
            "sources": _counts(self._named["source"]),
            "models": {"generate": _counts(self._named["model"]), "answer": _counts(self._named["answer_model"])},
            "prompt_versions": _counts(self._named["prompt_version"]),
        }

    def _of(self, cell: Cell, what: str) -> dict[str, int]:
        return _with_total({split: self._cells[cell, split, what] for split in SPLITS})

    def _sums(self, what: str) -> dict[str, int]:
        cells = {cell for cell, _, _ in self._cells}
        return _with_total({split: sum(self._cells[cell, split, what] for cell in cells) for split in SPLITS})


def _with_total(by_split: dict[str, int]) -> dict[str, int]:
    return {"total": sum(by_split.values()), **by_split}


def _counts(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items()))
