import pytest

from shared.questions.gates.answers import includes_answer
from tests.unit.questions.gates.asked import asked


@pytest.mark.parametrize(
    "text",
    [
        "What is 6 times 7? Answer: 42",
        "What is 6 times 7?\nAnswer: 42",
        "What is 6 times 7?\n\n**Answer:** 42",
        "What is 6 times 7? (Answer: 42)",
        "What is 6 times 7? The answer is 42.",
        "Solve 2x = 8 for x. Solution: x = 4",
        "Which gas do plants take in?\nA) oxygen\nB) carbon dioxide\nCorrect answer: B",
        "Which gas do plants take in?\nA) oxygen\nB) carbon dioxide (correct)\nC) neon",
        "Which gas do plants take in?\n- oxygen\n- carbon dioxide \u2713\n- neon",
        "How many legs do three cats have?\nSolution:\nEach cat has 4 legs, so there are 12 legs.",
        "Which is right? a) he go b) he goes (correct answer: b)",
        "What is 7 x 8? A: 56",
        "What is 15% of 80? -> 12",
        "Name the largest ocean. ANSWER: the Pacific",
        "Which is heavier, 1 kg of iron or 2 kg of wool? Ans: the wool",
        "Which city lies on the Seine? Answer key: Paris",
    ],
)
def test_refuses_a_question_that_gives_its_answer(text: str) -> None:
    assert includes_answer(asked(text))


@pytest.mark.parametrize(
    "text",
    [
        "What is 6 times 7?\nAnswer:",
        "What is 6 times 7? Answer: ____",
        "Is 7 a prime number? Answer: yes or no.",
        "Is 7 even? Answer: a, b, or c",
        "What is the answer to 6 times 7?",
        "What is 6 times 7? Answer in words.",
        "Q: What is 2 + 2? Answer: 4. Q: What is 3 + 3?",
        "A pupil solves 2x = 8. Solution: x = 6. Find the mistake.",
        "A pupil was asked for the root of 16. The answer is 5. Explain what went wrong.",
        "Review this.\nQuestion: how many legs has a spider?\nAnswer: six\nIs it correct?",
        "How is a saline solution made?",
        "Which word is spelled correctly (correct or not): recieve or receive?",
        "Fix the code so that it prints (correct) behind each right choice.",
        "Answer: the ultimate question?",
        "Which is a bird? A: a bat B: an owl",
        "Q: How many legs have 3 cats? A: Let's think step by step.",
        "What is wrong with print(Answer is:)",
    ],
)
def test_lets_places_forms_and_worked_examples_pass(text: str) -> None:
    assert not includes_answer(asked(text))
