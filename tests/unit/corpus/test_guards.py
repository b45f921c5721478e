import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.corpus.guards import Guard, guard_between

DIFFERENT = [
    ("numbers", "What is 12 + 5?", "What is 12 + 7?"),
    ("numbers", "What is 12 - 5?", "What is 5 - 12?"),
    ("numbers", "A pen costs $1,500.50 today.", "A pen costs $1,500.60 today."),
    ("numbers", "Cut the rope into three parts.", "Cut the rope into four parts."),
    ("numbers", "Who was the second person up there?", "Who was the third person up there?"),
    ("numbers", "The 3rd row is empty.", "The 4th row is empty."),
    ("numbers", "She has twenty-five hens.", "She has twenty-six hens."),
    ("numbers", "She has half of the hens.", "She has a quarter of the hens."),
    ("operators", "What is 12 + 5?", "What is 12 * 5?"),
    ("operators", "What is -5 + 3?", "What is 5 + 3?"),
    ("operators", "What is (8 + 2) * 3?", "What is 8 + (2 * 3)?"),
    ("operators", "How do I sort a list in C?", "How do I sort a list in C++?"),
    ("operators", "Solve x^2 > 9 for x", "Solve x^2 < 9 for x"),
    ("operators", r"Solve $a \leq b$ for a", r"Solve $a \geq b$ for a"),
    ("operators", "Is x² even?", "Is x³ even?"),
    ("operators", "How many digits has 5! then", "How many digits has 5 then"),
    ("operators", "It costs $5 a day", "It costs €5 a day"),
    ("polarity", "Which of these can fly?", "Which of these cannot fly?"),
    ("polarity", "Which bird doesn't fly?", "Which bird does fly?"),
    ("polarity", "How many more eggs are there?", "How many fewer eggs are there?"),
    ("polarity", "Tea with milk, please", "Tea without milk, please"),
    ("polarity", "How much does it eat in a day?", "How much does it eat in a week?"),
    ("polarity", "Each rope of 5 metres is cut", "Each rope of 5 feet is cut"),
    ("polarity", "He sells a stamp at 6 euros each", "He sells a stamp at 6 dollars each"),
    ("polarity", "Weigh it in pounds and round", "Weigh it in ounces and round"),
    ("polarity", "Is it possible to boil sand?", "Is it impossible to boil sand?"),
    ("polarity", "Is the plant harmful to goats?", "Is the plant harmless to goats?"),
    ("polarity", "When was the bridge built?", "Where was the bridge built?"),
    ("polarity", "wake me on monday at noon", "wake me on tuesday at noon"),
    ("polarity", "Is it divisible by 3 and 5?", "Is it divisible by 3 or 5?"),
    ("names", "How far is it from here to Oslo?", "How far is it from here to Bergen?"),
    ("names", "how far is it to oslo from here", "How far is it to Bergen from here"),
    ("names", "Is Oslo larger than Bergen?", "Is Bergen larger than Oslo?"),
    ("names", "What did Dr. Okafor find?", "What did Dr. Lindqvist find?"),
    ("names", "SQL is what kind of language?", "CSS is what kind of language?"),
    ("names", "What began World War II in Europe?", "What began World War I in Europe?"),
    ("order", "Convert 5 miles to furlongs for me", "Convert 5 furlongs to miles for me"),
    ("order", "the hen sees the fox and the cow the goat", "the goat sees the cow and the fox the hen"),
    ("order", "Ada has 5 eggs. Ben has some pears.", "Ada has 5 pears. Ben has some eggs."),
]

SAME = [
    ("How many hens can fly?", "HOW MANY HENS CAN FLY?"),
    ("how far is it to oslo", "How far is it to Oslo?"),
    ("How Far Is It From Here To Oslo", "How far is it from here to Oslo"),
    ("Does the big hen fly to Oslo?", "Does the large hen fly to Oslo?"),
    ("The hen is grey. How far does it fly?", "How far does it fly? The hen is grey."),
    ("Ada has 3 hens. Ben has 5. Who wins?", "Ben has 5. Ada has 3 hens. Who wins?"),
    ("How many hens are left if a fox eats one of them", "If a fox eats one of them, how many hens are left"),
    ("She has 1,000 hens and three geese", "She has 1000 hens and 3 geese"),
    ("On the 3rd day it rained in Oslo", "On the third day it rained in Oslo"),
    ("She has twenty-five hens", "She has 25 hens"),
    ("It isn't raining, is it?", "It is not raining, is it?"),
    ("Find the well-known hen", "Locate the well-known hen"),
    ("The hen \u2014 a grey one \u2014 flew", "The hen, a grey one, flew"),
    ("Which movie has Ada's hen in it?", "Which film has Ada's hen in it?"),
    ("It is 5 metres to the hen", "It is 5 meters to the hen"),
    ("It weighs 5 kg with the hen", "It weighs 5 kilograms with the hen"),
    ("He sold a hen and/or a goose", "He vended a hen and/or a goose"),
    ("12. Which hen is grey?", "Q: Which hen is grey?"),
    ("Hens fly low!", "Hens fly low."),
    ("", ""),
]


@pytest.mark.parametrize(("guard", "one", "other"), DIFFERENT)
def test_different_questions_are_told_apart(guard: str, one: str, other: str) -> None:
    assert guard_between(one, other) == Guard(guard)
    assert guard_between(other, one) == Guard(guard)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_rewordings_pass(one: str, other: str) -> None:
    assert guard_between(one, other) is None
    assert guard_between(other, one) is None


@given(st.text())
def test_no_text_differs_from_itself(text: str) -> None:
    assert guard_between(text, text) is None


@given(st.text(), st.text())
def test_guards_do_not_mind_which_comes_first(one: str, other: str) -> None:
    assert guard_between(one, other) == guard_between(other, one)


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_every_changed_number_is_seen(one: int, other: int) -> None:
    guard = guard_between(f"A hen eats {one} seeds.", f"A hen eats {other} seeds.")
    assert guard == (None if one == other else Guard.NUMBERS)
