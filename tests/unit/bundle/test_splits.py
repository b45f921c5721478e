"""Splits: decided from a row and older ones only; minimums, shares, hold-outs and clusters kept."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bundle.names import NO_TOPIC, SPLITS, TEST, TRAIN, VALIDATION
from shared.bundle.splits import (
    ROWS_PER_LEAST,
    Assigned,
    Kind,
    SplitOptions,
    assign,
    drawn_topic,
    held_out_split,
)


class Groups:
    """Rows repeat those of their own group."""

    def __init__(self, groups: Sequence[int | None]) -> None:
        self._groups = groups
        self._kept: list[int] = []

    def older(self, place: int) -> list[int]:
        group = self._groups[place]
        return [each for each in self._kept if group is not None and self._groups[each] == group]

    def keep(self, place: int) -> None:
        self._kept.append(place)


def kind(number: int, domain: str = "math", topic: str = "sets", difficulty: str = "easy") -> Kind:
    return Kind(domain, topic, difficulty, hashlib.sha256(str(number).encode()).digest()[:16])


def split(
    kinds: Sequence[Kind], options: SplitOptions, groups: Sequence[int | None] | None = None, **more: dict[int, str]
) -> Assigned:
    repeats = Groups(groups or [None] * len(kinds))
    return assign(range(len(kinds)), kinds.__getitem__, repeats, options, **more)


NO_TOPICS_HELD = SplitOptions(test_topics=0, validation_topics=0)

KINDS = st.builds(
    kind,
    st.integers(0, 10_000),
    st.sampled_from(["math", "coding"]),
    st.sampled_from([*"abcdefgh", NO_TOPIC]),
    st.sampled_from(["easy", "hard"]),
)
GROUPED = st.lists(st.tuples(KINDS, st.none() | st.integers(0, 8)), max_size=120)
OPTIONS = st.builds(
    SplitOptions,
    seed=st.integers(0, 2**31),
    test_share=st.floats(0, 0.4),
    validation_share=st.floats(0, 0.4),
    minimum=st.integers(0, 8),
    test_topics=st.floats(0, 0.4),
    validation_topics=st.floats(0, 0.4),
    domains=st.dictionaries(st.just("coding"), st.sampled_from(SPLITS[1:])),
    topics=st.dictionaries(st.sampled_from("abc"), st.sampled_from(SPLITS[1:])),
)


@settings(max_examples=200)
@given(GROUPED, OPTIONS, st.integers(0, 120))
def test_appending_rows_moves_none(grouped: list[tuple[Kind, int | None]], options: SplitOptions, before: int) -> None:
    kinds, groups = [each for each, _ in grouped], [group for _, group in grouped]
    whole = split(kinds, options, groups)
    part = split(kinds[:before], options, groups[:before])
    assert {place: its for place, its in whole.splits.items() if place < before} == part.splits
    assert [torn for torn in whole.torn if torn.place < before] == part.torn


@settings(max_examples=200)
@given(GROUPED, OPTIONS)
def test_repeats_never_straddle_and_hold_outs_are_whole(
    grouped: list[tuple[Kind, int | None]], options: SplitOptions
) -> None:
    kinds, groups = [each for each, _ in grouped], [group for _, group in grouped]
    assigned = split(kinds, options, groups)
    assert {*assigned.splits} | {torn.place for torn in assigned.torn} == {*range(len(kinds))}
    splits_of_group: dict[int, set[str]] = {}
    for place, its in assigned.splits.items():
        assert held_out_split(kinds[place], options) in {None, its}
        if (group := groups[place]) is not None:
            splits_of_group.setdefault(group, set()).add(its)
    assert all(len(its) == 1 for its in splits_of_group.values())


@settings(max_examples=100)
@given(GROUPED, OPTIONS)
def test_a_row_that_was_left_out_binds_nobody(grouped: list[tuple[Kind, int | None]], options: SplitOptions) -> None:
    whole = split([each for each, _ in grouped], options, [group for _, group in grouped])
    kept = [grouped[place] for place in sorted(whole.splits)]
    again = split([each for each, _ in kept], options, [group for _, group in kept])
    assert [again.splits[place] for place in range(len(kept))] == [
        whole.splits[place] for place in sorted(whole.splits)
    ]
    assert not again.torn


@pytest.mark.parametrize("rows", [9, 10, 25, 66, 132])
@pytest.mark.parametrize("seed", range(5))
def test_every_cell_has_its_minimum(rows: int, seed: int) -> None:
    options = SplitOptions(seed=seed, test_topics=0, validation_topics=0)
    kinds = [kind(number, difficulty=difficulty) for number in range(rows) for difficulty in ("easy", "hard")]
    counts = Counter((kinds[place].difficulty, its) for place, its in split(kinds, options).splits.items())
    due = min(options.minimum, rows // ROWS_PER_LEAST)
    for difficulty in ("easy", "hard"):
        assert counts[difficulty, TEST] >= due
        # One row cannot fill both: validation's turn comes with the next.
        assert counts[difficulty, VALIDATION] >= due - (rows % ROWS_PER_LEAST == 0 and due < options.minimum)


def test_a_share_of_nothing_is_nothing() -> None:
    options = SplitOptions(test_share=0, validation_share=0, test_topics=0, validation_topics=0)
    assert {*split([kind(number) for number in range(200)], options).splits.values()} == {TRAIN}


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_those_asked_for(seed: int) -> None:
    options = SplitOptions(seed=seed, test_share=0.1, validation_share=0.05, test_topics=0, validation_topics=0)
    counts = Counter(split([kind(number) for number in range(20_000)], options).splits.values())
    # Four standard deviations of 20,000 draws.
    assert abs(counts[TEST] / 20_000 - 0.1) < 0.0085
    assert abs(counts[VALIDATION] / 20_000 - 0.05) < 0.0062


def test_topics_are_drawn_by_name_in_the_shares_asked_for_and_other_never() -> None:
    drawn = Counter(drawn_topic(f"topic {number}", 7, 0.05, 0.1) for number in range(5_000))
    assert abs(drawn[TEST] / 5_000 - 0.1) < 0.017
    assert abs(drawn[VALIDATION] / 5_000 - 0.05) < 0.0124
    assert drawn_topic(NO_TOPIC, 7, 0.5, 0.5) is None
    assert drawn_topic("sets", 7, 0.5, 0.5) is not None


def test_what_repeats_rows_of_two_splits_is_left_out_and_named() -> None:
    options = SplitOptions(test_share=0, validation_share=0, test_topics=0, validation_topics=0, topics={"held": TEST})
    kinds = [kind(1), kind(2, topic="held"), kind(3), kind(4, topic="held"), kind(5)]

    class Bridge(Groups):
        def older(self, place: int) -> list[int]:
            return {2: [0, 1], 3: [0], 4: [1]}.get(place, [])

    assigned = assign(range(5), kinds.__getitem__, Bridge([None] * 5), options)
    assert assigned.splits == {0: TRAIN, 1: TEST, 4: TEST}  # a row that repeats a held-out one goes with it
    assert [(torn.place, [*torn.repeats]) for torn in assigned.torn] == [(2, [0, 1]), (3, [0])]


def test_rows_of_a_parent_keep_their_splits_and_come_first() -> None:
    kinds = [kind(number) for number in range(60)]
    settled = {40: VALIDATION, 41: TEST}
    assigned = split(kinds, NO_TOPICS_HELD, [0 if number in {3, 40} else None for number in range(60)], settled=settled)
    assert [*assigned.splits][:2] == [40, 41]
    assert (assigned.splits[40], assigned.splits[41], assigned.splits[3]) == (VALIDATION, TEST, VALIDATION)


def test_another_seed_splits_otherwise() -> None:
    kinds = [kind(number) for number in range(500)]
    assert split(kinds, SplitOptions(seed=1)).splits != split(kinds, SplitOptions(seed=2)).splits
