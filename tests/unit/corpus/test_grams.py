import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.corpus.grams import MOST_GRAMS, SHORT_BELOW_WORDS, trace

SENTENCE = "A train leaves the old station at noon and reaches the sea after nine hours"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("What is 12 + 5?", "what is 7 + 348"),
        ("What is 12+5?", "What is 7 + 348?"),
        ("Ann has 3 apples, twenty-five pears and $2.50.", "Ann has 1,000 apples, 4 pears and $7."),
        ("Is x = -5 a root?", "Is x = 31 a root?"),
        ("Sort [3, 1, 2].", "Sort [5, 4, 9, 1]."),
        ("Who came 3rd in 1998?", "Who came first in 2024?"),
        ("Is **2x** more than 3/4?", "Is 9x more than 5?"),
    ],
)
def test_other_numbers_are_the_same_masked_text(text: str, other: str) -> None:
    assert trace(text).masked == trace(other).masked
    assert trace(text).text != trace(other).text


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("What is 12 + 5?", "What is 12 - 5?"),
        ("What is 12 + 5?", "What is 12 / 5?"),
        ("What is 12 * 5?", "What is 12 / 5?"),
        ("What is 12 + 5?", "What was 12 + 5?"),
        ("Is 3 < 4?", "Is 3 > 4?"),
        ("12", "12 + 5"),
    ],
)
def test_other_words_and_operators_are_not(text: str, other: str) -> None:
    assert trace(text).masked != trace(other).masked


def test_spelling_is_no_operator() -> None:
    plain = trace("Is a well known and or good thing there")
    assert trace("Is a well-known and/or *good* thing there?").masked == plain.masked


@pytest.mark.parametrize("text", ["", "???", "\u2014 \u2026 !"])
def test_what_masks_to_nothing_is_like_its_own_text_only(text: str) -> None:
    assert trace(text).masked is None
    assert trace("??? !").text != trace("- !").text


def test_a_sentence_is_hashed_as_a_whole_text_is() -> None:
    added = trace(f"You are a tutor. {SENTENCE}! Explain.")
    assert trace(SENTENCE).masked in added.sentences
    assert trace(SENTENCE).sentences == ()
    assert trace("Explain why.").masked not in trace("Do it at once, please. Explain why.").sentences


def test_grams_are_of_eight_words_numbers_masked() -> None:
    assert len(trace(SENTENCE).grams) == 15 - 7
    assert trace("only seven words are in this text").grams == ()
    assert trace("the bus with 7 seats is on time").grams == trace("The bus, with 48 seats, is on time!").grams != ()


def test_only_a_short_text_has_shingles() -> None:
    words = "a b c d e f g h i j".split() * 4  # noqa: SIM905 - read as a line
    assert trace(" ".join(words[:-1])).shingles
    assert len(words) == SHORT_BELOW_WORDS
    assert trace(" ".join(words)).shingles == ()
    assert trace("((-7 + 9) * (3 - 4)) =").shingles == ()
    assert trace("Who wrote Hamlet?").shingles == ()


def test_a_word_counts_as_often_as_it_stands() -> None:
    assert len(set(trace("not true and not false").shingles)) == 5 + 4
    assert set(trace("true and not false").shingles) < set(trace("true and not not false").shingles)


def test_a_huge_text_is_bounded() -> None:
    its = trace(" ".join(f"word{number:b}" for number in range(20_000)).replace("1", "i").replace("0", "o"))
    assert len(its.grams) == MOST_GRAMS


@given(st.text())
def test_any_text_has_a_trace_of_64_bit_numbers(text: str) -> None:
    its = trace(text)
    for number in (its.text, *its.sentences, *its.grams, *its.shingles):
        assert -(2**63) <= number < 2**63
    assert trace(text) == its
