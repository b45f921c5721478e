import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.corpus.normalise import normalise, template_of, text_hash
from tests.processor import takes_at_most

TEXTS = st.text() | st.text(alphabet="aB1.?!-*\"'()#:, \n\u00a0\u2019\u2014²İß", max_size=30)


@given(TEXTS)
@example('Q: **1. "Question 2: what?"**')
@example("12. 3) - what?\n\nAnswer:")
@example("**\"'a b'\"**")
@example("what ,.")
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    "same",
    [
        "  What is  a\u00a0quark ?\n",
        "WHAT IS A QUARK",
        "What is a quark??",
        "What is a quark.",
        "Q: What is a quark?",
        "Question 3: What is a quark?",
        "**Question:** What is a quark?",
        "Problem 7. What is a quark?",
        "12. What is a quark?",
        "3) What is a quark?",
        "- What is a quark?",
        "• What is a quark?",
        "## What is a quark?",
        "**What is a quark?**",
        '"What is a quark?"',
        "\u201cWhat is a quark?\u201d",
        "Please answer the following question: What is a quark?",
        "What is a quark?\n\nAnswer:",
        "Q: 4. **\u2018What is a quark?\u2019**",
        "\ufeffWhat is a \u200bquark\uff1f",
    ],
)
def test_wrappers_and_appearance_fold(same: str) -> None:
    assert normalise(same) == "what is a quark"
    assert text_hash(same) == text_hash("What is a quark?")
    assert len(text_hash(same)) == 16


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is C?", "What is C++?"),
        ("What is C?", "What is C#?"),
        ("x² = 4", "x2 = 4"),
        ("x² = 4", "x³ = 4"),
        ("½ of 6", "12 of 6"),
        ("-5 + 3", "5 + 3"),
        ("- 5 + 3", "5 + 3"),
        ("3.5 is what?", "5 is what?"),
        ("(2 + 3) * 4", "2 + (3 * 4)"),
        ("What is 5!", "What is 5?"),
        ("What is (n+1)!", "What is (n+1)?"),
        ('"A" or "B"?', 'A" or "B?'),
        ("**a** and **b**", "a** and **b"),
        ("a = b", "a == b"),
        ("Is ß a letter?", "Is ss a letter?"),
        ("Write down the answer:", "Write down the"),
        ("???", ""),
        ("Question", ""),
    ],
)
def test_what_changes_a_question_stays(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a \u2212 b", "a - b"),
        ("it\u2019s", "it's"),
        ("caf\u00e9", "cafe\u0301"),
        ("wait\u2026 what", "wait... what"),
        ("1900\u20131910", "1900-1910"),
        ("\uff11\uff0b\uff12", "1+2"),
        ("cakes , or pies", "cakes, or pies"),
    ],
)
def test_shapes_of_one_character_fold(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("How much is 12 + 5?", "how much is # + #"),
        ("How much is -5 + 3?", "how much is # + #"),
        ("How much is 5-3?", "how much is #-#"),
        ("Add 3/4 to 1,000.50.", "add # to #"),
        ("Add twenty-five to the third of two apples", "add # to the # of # apples"),
        ("a four-year plan since the 3rd", "a #-year plan since the #"),
        ("x² + ½", "x# + #"),
        ("someone alone often wonders", "someone alone often wonders"),
    ],
)
def test_template_masks_numbers(text: str, template: str) -> None:
    assert template_of(text) == template


@pytest.mark.parametrize(
    "hostile",
    [
        *(
            "Q: ",
            "12. ",
            "- aa",
            "**Q:** ",
            "#",
            "*",
            '"',
            "'",
            "(",
            "1.",
            "1.1,",
            "1/1 ",
            "-",
            "a!",
            "?!",
            " \n",
            " .",
        ),
        *("? answer:", "\n \n answer:", "q: your answer:", "ten-ten ", "a ,", "\u2022", "\u0301\u0323", "\u0f73"),
        *("*q: a", "Please answer the following question: "),
    ],
)
def test_cost_grows_with_the_length_and_not_its_square(hostile: str) -> None:
    # At 100,000 characters what was quadratic took from 20 s to minutes; now each takes some 0.2 s.
    with takes_at_most(5):
        for suffix in ("", "x", ":", "!" * 20_000):
            template_of((hostile * (100_000 // len(hostile))) + suffix)


def test_layers_are_taken_off_to_the_last() -> None:
    assert normalise("Q: " * 20_000 + "'**Why?**'" + "? Answer:" * 20_000) == "why"


def test_marks_of_any_number_are_composed_as_unicode_says() -> None:
    for marks in ("\u0301\u0323", "\u0323\u0301", "\u0f73\u0301", "\u0344\u0327"):
        text = "Is e" + marks * 40 + "x it"
        assert normalise(text) == unicodedata.normalize("NFC", text.lower())
