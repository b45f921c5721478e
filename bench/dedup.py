"""How well duplicates are told from different questions: labelled pairs, if a file is given, and pairs made here.

`QUESTMILL_BENCH_PAIRS=pairs.jsonl.gz ./run bench dedup` takes labelled ones as well; see bench/question_pairs.py. With
requirements/embeddings.txt installed, an embedding model is measured beside them.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from bench.embedding import load_embedder
from bench.hybrid import compare_with_embeddings
from bench.judged_pairs import Judged, by_kind, judge_pairs, score
from bench.perturbed import make_pairs
from bench.question_pairs import PAIRS_VARIABLE, labelled_pairs
from bench.report import Report

CLAIM = (
    "duplicates: F1 of the near tier at least 0.94, a changed number never refused, "
    "questions about one passage told apart"
)
LEAST_F1 = 0.94
SEED = 2025
# What one word, a wrapper or another order makes of a question; paraphrases are beyond any lexical method.
NEAR_TIER = ("exact", "trivial", "wrapper", "synonym", "synonym1", "reorder")
NEVER_REFUSED = ("number_changed", "number_word_changed", "same_passage")

Table = dict[str, dict[str, Any]]


def measure(rounds: int) -> Report:
    """Other pairs each round; the labelled ones are always the same."""
    labelled = judge_pairs(labelled_pairs())
    made = [judge_pairs(make_pairs(SEED + number)) for number in range(rounds)]
    found = [_near_tier(judged) for judged in made]
    every = [each for judged in made for each in judged]
    result: dict[str, Any] = {"made": {"near_tier": _near_tier(every), "kinds": by_kind(every)}}
    notes = []
    if labelled:
        result["labelled"] = {"near_tier": _near_tier(labelled), "kinds": by_kind(labelled)}
        if embed := load_embedder():
            result["labelled"]["with_embeddings"] = compare_with_embeddings(labelled, embed)
        else:
            notes.append("no embeddings: requirements/embeddings.txt is not installed")
    else:
        notes.append(f"no labelled pairs: {PAIRS_VARIABLE} names no file")
    tables: list[Table] = [each["kinds"] for each in result.values()]

    def draw(figure: Figure) -> None:
        _draw_kinds(figure, tables[-1])

    holds = all(_keeps(each["near_tier"], each["kinds"]) for each in result.values())
    return Report(CLAIM, found, result, holds, draw, notes)


def _near_tier(judged: Sequence[Judged]) -> dict[str, Any]:
    return score([each.pair for each in judged], [each.refused for each in judged], NEAR_TIER)


def _keeps(near_tier: dict[str, Any], kinds: Table) -> bool:
    refused = sum(kinds[kind]["refused"] for kind in NEVER_REFUSED if kind in kinds)
    return bool(near_tier["f1"] >= LEAST_F1 and refused == 0)


def _draw_kinds(figure: Figure, kinds: Table) -> None:
    """Of each kind the share refused: duplicates should reach the right edge, others stay at the left."""
    axes = figure.add_subplot()
    ordered = sorted(kinds.items(), key=lambda item: not item[1]["duplicates"])
    names = [name.replace("_", " ") + ("" if each["duplicates"] else " \N{NOT EQUAL TO}") for name, each in ordered]
    shares = [each["refused"] / each["pairs"] for _, each in ordered]
    colours = ["#4c72b0" if each["duplicates"] else "#c44e52" for _, each in ordered]
    drawn = axes.barh(names, shares, color=colours)
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("share refused: duplicates should be, different questions (\N{NOT EQUAL TO}, red) should not")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
