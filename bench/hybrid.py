"""Would an embedding model beside the lexical path find the paraphrases that it misses, and at what price?

Labelled pairs alone would flatter it: their unlike ones all differ in something that a guard sees. So each question's
nearest other question by embedding is a pair too, of the kind `neighbour`, and not a duplicate.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.embedding import Embed
from bench.judged_pairs import Judged, judge_pairs, score
from bench.question_pairs import Pair
from shared.corpus.guards import Guard, guard_between
from shared.corpus.normalise import normalise

NEIGHBOUR = "neighbour"
# A paraphrase replaces every sentence and moves words: these two guards would let none pass.
OPEN_TO_PARAPHRASE = frozenset({None, Guard.ORDER, Guard.QUESTION})
THRESHOLDS = np.arange(0.40, 1.0, 0.01)

Flags = NDArray[np.bool_]


def compare_with_embeddings(judged: Sequence[Judged], embed: Embed) -> dict[str, Any]:
    """Lexical, embedding alone and hybrid, each with the threshold that is best on one half, scored on the other.

    The hybrid: lexically refused, or a cosine from the threshold on while the guards of numbers, operators, polarity
    and names agree.
    """
    all_judged = [*judged, *judge_pairs(_neighbours([each.pair for each in judged], embed))]
    pairs = [each.pair for each in all_judged]
    refused = np.array([each.refused for each in all_judged])
    began = time.perf_counter()
    cosines = np.einsum(
        "ij,ij->i", _embed(embed, [each.a for each in pairs]), _embed(embed, [each.b for each in pairs])
    )
    microseconds = (time.perf_counter() - began) / len(pairs) / 2 * 1e6
    agree = np.array([guard_between(each.a, each.b) in OPEN_TO_PARAPHRASE for each in pairs])
    everywhere = np.ones(len(pairs), dtype=bool)
    nowhere = np.zeros(len(pairs), dtype=bool)
    found = {
        "lexical": _scored(pairs, refused),
        "embedding": _cross_validated(pairs, nowhere, everywhere, cosines),
        "hybrid": _cross_validated(pairs, refused, agree, cosines),
    }
    return {"microseconds_per_text": round(microseconds, 1), **found}


def _embed(embed: Embed, texts: Sequence[str]) -> NDArray[np.float32]:
    return embed([normalise(text) for text in texts])


def _neighbours(pairs: Sequence[Pair], embed: Embed) -> list[Pair]:
    """Each first text with the nearest other first text that is no lexical repeat of it."""
    texts = list({normalise(pair.a): pair.a for pair in pairs}.values())
    vectors = _embed(embed, texts)
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -1)
    nearest = [Pair(NEIGHBOUR, texts[at], texts[other], dup=False) for at, other in enumerate(alike.argmax(axis=1))]
    return [each.pair for each in judge_pairs(nearest) if not each.alike]


def _cross_validated(
    pairs: Sequence[Pair], lexical: Flags, agree: Flags, cosines: NDArray[np.float32]
) -> dict[str, Any]:
    """Each half is judged with the threshold that gives the other half the best F1."""
    duplicates = np.array([pair.dup for pair in pairs])
    first = _first_halves(pairs)
    refused = lexical.copy()
    thresholds = []
    for tuned, held_out in ((first, ~first), (~first, first)):
        threshold = max(
            THRESHOLDS, key=lambda each: _f1((lexical | ((cosines >= each) & agree))[tuned], duplicates[tuned])
        )
        thresholds.append(round(float(threshold), 2))
        refused[held_out] |= (cosines[held_out] >= threshold) & agree[held_out]
    return {"thresholds": thresholds, **_scored(pairs, refused)}


def _first_halves(pairs: Sequence[Pair]) -> Flags:
    """Every other pair of each kind."""
    seen: dict[str, int] = {}
    halves = []
    for pair in pairs:
        seen[pair.kind] = seen.get(pair.kind, 0) + 1
        halves.append(seen[pair.kind] % 2 == 0)
    return np.array(halves)


def _f1(refused: Flags, duplicates: Flags) -> float:
    return float(2 * (refused & duplicates).sum() / max(refused.sum() + duplicates.sum(), 1))


def _scored(pairs: Sequence[Pair], refused: Flags) -> dict[str, Any]:
    flags = [bool(each) for each in refused]
    shares = {}
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        of_kind = [flag for pair, flag in zip(pairs, flags, strict=True) if pair.kind == kind]
        shares[kind] = f"{sum(of_kind)}/{len(of_kind)}"
    return {**score(pairs, flags), "refused": shares}
