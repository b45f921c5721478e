from collections.abc import Sequence

import numpy as np
import pytest

from shared.corpus import candidate_pairs
from shared.corpus.candidate_pairs import EARLIER_PER_BAND, PAIRS_PER_QUESTION, CandidatePairs
from shared.corpus.minhash import SKETCH_DISTANCE

ALIKE = 0
FAR = (1 << SKETCH_DISTANCE + 1) - 1


def collect(ids: Sequence[int], sketches: Sequence[int | None] = ()) -> CandidatePairs:
    words = [((each or 0) >> 64, (each or 0) & (1 << 64) - 1) for each in sketches or [ALIKE] * len(ids)]
    sketched = [each is not None for each in sketches or ids]
    return CandidatePairs(np.array(ids), np.array(words, dtype=np.uint64), np.array(sketched))


def found(pairs: CandidatePairs) -> list[tuple[int, int]]:
    return [(int(newer), int(older)) for newer, older in pairs.pairs()]


def test_who_shares_a_band_is_a_pair_once() -> None:
    pairs = collect([8, 5, 3, 9])
    pairs.add([[3, 5], [5, 8, 9]])
    pairs.add([[3, 5], [9]])
    assert found(pairs) == [(5, 3), (8, 5), (9, 5), (9, 8)]


def test_nothing_shared_is_no_pair() -> None:
    pairs = collect([3, 5])
    assert found(pairs) == []
    pairs.add([])
    pairs.add([[3], [5]])
    assert found(pairs) == []


def test_sketches_far_apart_are_no_pair_and_missing_ones_are() -> None:
    pairs = collect([1, 2, 3, 4], [ALIKE, FAR, None, FAR << 90])
    pairs.add([[1, 2, 3, 4]])
    assert found(pairs) == [(3, 1), (3, 2), (4, 3)]


def test_a_question_that_came_later_is_left_out() -> None:
    pairs = collect([1, 2, 4])
    pairs.add([[1, 2, 3, 4, 7]])
    assert found(pairs) == [(2, 1), (4, 1), (4, 2)]


def test_a_full_band_costs_what_its_size_says() -> None:
    pairs = collect(range(1000))
    pairs.add([range(1000)])
    counts = np.bincount([newer for newer, _ in found(pairs)])
    assert counts.max() == EARLIER_PER_BAND
    assert (999, 998) in found(pairs)


def test_the_likeliest_pairs_of_a_question_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_pairs, "_AT_ONCE", 1)
    many = 3 * PAIRS_PER_QUESTION
    sketches = [(1 << place % SKETCH_DISTANCE) - 1 for place in range(many)]
    pairs = collect(range(many + 1), [*sketches, ALIKE])
    for other in range(many):
        pairs.add([[other, many]])
    kept = [older for _, older in found(pairs)]
    assert len(kept) == PAIRS_PER_QUESTION
    assert max(sketches[older] for older in kept) <= min(sketches[older] for older in range(many) if older not in kept)
