"""Questions as a model writes them on a bad day: each kind is one that a gate is there for (docs/gates.md)."""

from collections.abc import Sequence
from random import Random

from local.rehearsal.ask import Ask

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
