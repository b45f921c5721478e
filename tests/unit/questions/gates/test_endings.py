import pytest

from shared.questions.gates.endings import is_unfinished
from tests.unit.questions.gates.asked import asked

LONG = (
    "A bakery in Porto opens at six and sells bread until noon. It has three ovens, and each takes forty loaves. "
    "The night shift begins at two, when the dough is already resting in the cold room. Amara counts what is left."
)


@pytest.mark.parametrize(
    "text",
    [
        "If a train leaves at nine and the",
        "Compare apples, pears,",
        "What is the sum of the numbers (",
        "Explain the difference between a list and",
        "Name an animal whose",
        "Write a short poem about a",
        "Translate the following sentence into French:",
        "Read these steps and put them in the order given below:",
        "Sort the numbers 3, 1 and 2 -",
        f"{LONG} Explain how many loaves the bakery can sell before the second oven has to",
        "   What is larger, 3 or 4, when the \n ",
    ],
)
def test_refuses_what_breaks_off(text: str) -> None:
    assert is_unfinished(asked(text))


@pytest.mark.parametrize(
    "text",
    [
        "who is she married to",
        "what is he looking for",
        "which country is it a part of",
        "what are you into",
        "The capital of Peru is:",
        "The capital of Peru is ...",
        "Convert to upper case.\nInput: abc\nOutput:",
        "Which vitamin is in oranges, b or a",
        "What does this print?\nprint([1, 2,\n3])",
        "Does `for x in y and` parse",
        "Which is the article in this sentence: 'the'",
        "What does C++ call a reference, as in int&",
        f"{LONG} How many loaves are there at noon?",
        f"{LONG}\n(A) The first of the two shifts is the one that is always the longest of all",
        f"{LONG} At noon the number of loaves that are left over in the whole shop is",
        f"{LONG}\nEvent: the summer fair of the whole village by the river",
        "",
    ],
)
def test_lets_real_endings_pass(text: str) -> None:
    assert not is_unfinished(asked(text))
