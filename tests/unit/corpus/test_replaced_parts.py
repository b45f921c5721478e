import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.corpus.duplicates import NEAR_SIMILARITY
from shared.corpus.guards import Guard, guard_between
from shared.corpus.marks import read_marks
from shared.corpus.normalise import normalise
from shared.corpus.replaced_parts import is_part_replaced
from shared.corpus.similarity import similarities
from tests.processor import takes_at_most

# Capitals, numbers and opposites are left out where a question begins, so that no other guard can tell them apart.
PASSAGE = " ".join(
    f"The miller who {verb} {thing} behind the old mill sees how the river carries {thing} away, and says nothing."
    for verb, thing in [
        ("keeps", "grain"),
        ("weighs", "flour"),
        ("mends", "ropes"),
        ("stacks", "sacks"),
        ("cleans", "wheels"),
        ("paints", "doors"),
    ]
)
CODE = (
    "for row in rows if row equals wanted then stop and hand back the row that was met else note the row as seen and "
    "go on to the next row until the last row was read and then hand back nothing"
)

DIFFERENT = [
    (f"{PASSAGE} What does the river carry away?", f"{PASSAGE} What colour are the doors that he paints?"),
    (f"{PASSAGE} What does the river carry away?", f"{PASSAGE} What does he say when the river comes?"),
    (f"{PASSAGE}\n\nList the tools he needs", f"{PASSAGE}\n\nSummarise the story for a child"),
    (f"What does the river carry? {PASSAGE}", f"What colour are the painted doors? {PASSAGE}"),
    (f"{PASSAGE} What does he weigh? Options: a, b, c", f"{PASSAGE} What colour is it? Options: a, b, c"),
    (f"{CODE} what does this print at the end", f"{CODE} what is wrong with that loop"),
]
SAME = [
    (f"{PASSAGE} What does the river carry away?", f"{PASSAGE} What does this river carry away?"),
    (f"{PASSAGE} What does the river carry away?", f"What does the river carry away? {PASSAGE}"),
    (f"{PASSAGE} What does the river carry away?", f"{PASSAGE} What does the river carry away? Think step by step."),
    (PASSAGE, PASSAGE.replace("behind", "near").replace("ropes", "cords")),
    (PASSAGE, PASSAGE.replace(". The", ", and the")),
    (f"{CODE} what does this print", f"{CODE} what does that print"),
    ("Hi! Which hen laid the egg that the fox ate at noon", "Hello! Which hen laid the egg that the fox ate at noon"),
]


def similarity(one: str, other: str) -> float:
    return similarities([normalise(one), normalise(other)], [(0, 1)])[0]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_question_about_the_same_passage_is_another_question(one: str, other: str) -> None:
    assert similarity(one, other) >= NEAR_SIMILARITY, "else nobody asks the guard"
    assert guard_between(one, other) == Guard.QUESTION
    assert guard_between(other, one) == Guard.QUESTION


@pytest.mark.parametrize(("one", "other"), SAME)
def test_reworded_reordered_and_added_sentences_replace_none(one: str, other: str) -> None:
    assert guard_between(one, other) is None
    assert guard_between(other, one) is None


SENTENCES = st.lists(st.lists(st.sampled_from(["hen", "fox", "mill", "river", "runs"]), min_size=1).map(tuple))


@given(SENTENCES)
def test_no_part_of_a_text_is_replaced_by_itself(sentences: list[tuple[str, ...]]) -> None:
    assert not is_part_replaced(sentences, sentences)
    assert not is_part_replaced(sentences, sentences[::-1])


@given(SENTENCES, SENTENCES)
def test_it_does_not_matter_which_text_comes_first(one: list[tuple[str, ...]], other: list[tuple[str, ...]]) -> None:
    assert is_part_replaced(one, other) == is_part_replaced(other, one)


def test_texts_that_differ_everywhere_cost_what_their_length_says() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    one, other = (
        read_marks(
            " ".join(f"A {animal} {first} and {second}{first} go on." for first in letters * 4 for second in letters)
        )
        for animal in ("hen", "fox")
    )
    with takes_at_most(1):  # each sentence with each would be 7 million comparisons
        is_part_replaced(one.words, other.words)
