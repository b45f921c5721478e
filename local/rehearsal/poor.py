"""Replies as a model writes them on a bad day. Each kind of poor question is one that a gate is there for."""

from collections.abc import Sequence
from random import Random

from local.rehearsal.ask import Ask

_POOR_SCORES: tuple[object, ...] = (0, 7, "5", None)
_POOR_ANSWERS = ("", "  \n", "```python\ndef solve(:\n    return\n```", "The result is 2 + 2 = 5.", "I'm not sure.\x07")
_UNKNOWN_NUMBER = 999

# Kinds with their variants; {half} is the first half of the question, {number} makes each text another one.
_KINDS = (
    ("I'm sorry, but I can't help with questions about {subtopic} in case {number}.",),
    (
        "Domain: {domain}\nTopic: {topic}\nSubtopic: {subtopic}\n{question}",
        "As an AI language model, I would ask this. {question}",
    ),
    ("[Insert text about {subtopic} here] {question}", "{question} [Topic]"),
    ("{question} Answer: {number}", "{question}\nSolution: it is {number}"),
    ("{half}, number {number} and the",),
    ("{question}\n```python\nprint({number})",),
    ("{question} Take $\\frac{{{number}}}{{7}} for it.", "{question} Take \\(x^{number} for it."),
    (
        "Wie viele Äpfel sind noch im Korb, wenn von {number} Äpfeln die Hälfte verschenkt wird?",
        "Combien de pommes reste-t-il dans le panier si on en donne {number} aux enfants ?",
        "¿Cuántas manzanas quedan en la cesta si se comen {number} de ellas?",
        "篮子里有{number}个苹果,吃了一半以后还剩多少?",
    ),
)


def spoil(questions: Sequence[str], ask: Ask, random: Random) -> list[str]:
    """The questions with every second one poor; 16 or more of them make room for each kind."""
    spoiled = list(questions)
    kinds = random.sample(_KINDS, len(_KINDS))
    for turn, place in enumerate(range(1, len(spoiled), 2)):
        question = spoiled[place]
        spoiled[place] = random.choice(kinds[turn % len(kinds)]).format(
            question=question,
            half=question[: len(question) // 2].rsplit(" ", 1)[0],
            number=random.randrange(2, 10**6),
            domain=ask.domain,
            topic=ask.topic,
            subtopic=ask.subtopic,
        )
    return spoiled


def spoil_verdicts(verdicts: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The verdicts with every second one poor: a score that is none, one left out, the number of no question."""
    spoiled = [dict(verdict) for verdict in verdicts]
    for turn, verdict in enumerate(spoiled[1::2]):
        match turn % 3:
            case 0:
                verdict["clear"] = _POOR_SCORES[turn // 3 % len(_POOR_SCORES)]
            case 1:
                del verdict["answerable"]
            case _:
                verdict["number"] = _UNKNOWN_NUMBER
    return spoiled


def spoil_answers(answers: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The answers with every second one poor: blank, wrong, code that does not parse, the number of no question."""
    spoiled = [dict(answer) for answer in answers]
    for turn, answer in enumerate(spoiled[1::2]):
        kind = turn % (len(_POOR_ANSWERS) + 1)
        if kind == len(_POOR_ANSWERS):
            answer["number"] = _UNKNOWN_NUMBER
        else:
            answer["answer"] = _POOR_ANSWERS[kind]
    return spoiled
