"""Which topics a cell's next prompts are about, from what each has brought."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.corpus.topic_yields import TopicYield
from shared.jobs.steer import (
    EVIDENCE_CANDIDATES,
    FLOORS,
    LEAST_OPEN_SHARE,
    Ground,
    TopicState,
    expected_yield,
    floor_of,
    next_ordinals,
    open_topics,
    passed_over,
    topic_states,
)
from shared.planning.mix import Cell
from shared.questions.atlas import atlas_for
from shared.questions.prompts import topic_at

CELL = Cell("math", "easy")
ATLAS = atlas_for("math")
TOPICS = list(ATLAS.topics)
recent_yields = st.lists(st.floats(0, 1), min_size=len(TOPICS), max_size=len(TOPICS))


def ground(recent: dict[str, float], *, generated: int = 400) -> Ground:
    yields = {topic: TopicYield(topic, generated, generated // 2, recent=each) for topic, each in recent.items()}
    return Ground(2025, ATLAS, yields)


def test_an_untouched_cell_takes_its_ordinals_in_a_row() -> None:
    assert next_ordinals(ground({}), CELL, 7, 20) == range(7, 27)
    assert passed_over(ground({}), CELL, range(20)) == []


def test_a_topic_that_brings_less_than_the_others_rests() -> None:
    its = ground(dict.fromkeys(TOPICS, 0.97) | {TOPICS[0]: 0.6, TOPICS[1]: 0.02})
    states = topic_states(its)
    assert (states[TOPICS[0]], states[TOPICS[1]], states[TOPICS[2]]) == (
        TopicState.RESTING,
        TopicState.DRY,
        TopicState.OPEN,
    )
    ordinals = next_ordinals(its, CELL, 0, 200)
    assert len(ordinals) == 200
    asked = {topic_at(ATLAS, 2025, CELL, each) for each in ordinals}
    assert asked == set(TOPICS[2:])
    left_out = [each for each in range(ordinals[-1]) if each not in set(ordinals)]
    assert {topic_at(ATLAS, 2025, CELL, each) for each in left_out} == set(TOPICS[:2])
    assert passed_over(its, CELL, range(ordinals[-1])) == left_out


def test_little_evidence_closes_no_topic() -> None:
    assert open_topics(ground(dict.fromkeys(TOPICS[:5], 0.0), generated=EVIDENCE_CANDIDATES - 1)) == TOPICS


def test_the_floor_sinks_with_the_cell_and_a_resting_topic_comes_back() -> None:
    early = ground(dict.fromkeys(TOPICS, 0.95) | {TOPICS[0]: 0.72})
    late = ground(dict.fromkeys(TOPICS, 0.71) | {TOPICS[0]: 0.72})
    assert floor_of(early) > 0.72 >= floor_of(late)
    assert topic_states(early)[TOPICS[0]] is TopicState.RESTING
    assert topic_states(late)[TOPICS[0]] is TopicState.OPEN


def test_when_every_topic_is_dry_all_are_asked_again_until_the_cell_is_stopped() -> None:
    its = ground(dict.fromkeys(TOPICS, 0.01))
    assert set(topic_states(its).values()) == {TopicState.DRY}
    assert next_ordinals(its, CELL, 0, 3) == range(3)
    assert passed_over(its, CELL, range(30)) == []


@given(recent_yields, st.integers(0, 10_000), st.integers(1, 60))
def test_ordinals_ascend_from_the_first_and_are_of_open_topics(recent: list[float], first: int, count: int) -> None:
    its = ground(dict(zip(TOPICS, recent, strict=True)))
    ordinals = list(next_ordinals(its, CELL, first, count))
    assert len(ordinals) == count
    assert ordinals == sorted(set(ordinals))
    assert ordinals[0] >= first
    states = topic_states(its)
    is_open = [states[topic_at(ATLAS, 2025, CELL, each)] is TopicState.OPEN for each in ordinals]
    assert all(is_open) or TopicState.OPEN not in states.values()


@given(recent_yields)
def test_a_share_of_the_topics_is_open_unless_they_are_dry(recent: list[float]) -> None:
    its = ground(dict(zip(TOPICS, recent, strict=True)))
    states = list(topic_states(its).values())
    if floor_of(its) > FLOORS[-1]:
        assert states.count(TopicState.OPEN) >= LEAST_OPEN_SHARE * len(TOPICS)
    assert 0 <= expected_yield(its, 1.0) <= 1


def test_what_the_next_prompts_yield_is_told_by_the_open_topics() -> None:
    its = ground(dict.fromkeys(TOPICS, 0.9) | {TOPICS[0]: 0.1})
    assert round(expected_yield(its, 0.5), 3) == 0.9
    unknown = replace(its, yields={})
    assert expected_yield(unknown, 0.5) == 0.5
