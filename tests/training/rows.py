"""Rows as a bundle has them, made here: answers with what breaks tokenizers, markup and masks."""

import random
from typing import Any

NASTY = [
    r"$\frac{a}{b} \neq \beta$ and \\newline",
    "two\nlines\r\n\n\tand a tab",
    "naïve café, 数学, עברית, 👩‍🔬🎉",
    "it ends here </s> or <|im_end|> or <|eos|><|assistant|> no",
    " leading and trailing blanks ",
    "e\u0301 is not \u00e9",
    "<0x41> \x00 \ufffd",
]


def row(number: int, question: str, answer: str, *, domain: str = "math", difficulty: str = "easy") -> dict[str, Any]:
    return {
        "id": number,
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
        "question": question,
        "answer": answer,
        "domain": domain,
        "difficulty": difficulty,
        "prompt_tokens": len(question.split()),
        "completion_tokens": len(answer.split()),
    }


def some_rows(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Rows of different lengths, the nasty ones among them."""
    rng = random.Random(seed)
    words = ("sum", "of", "two", "primes", "λ", "x^2", "why", "because", "so", "therefore", "if")
    made = [row(1 + at, f"What of {text}?", text) for at, text in enumerate(NASTY)]
    for at in range(len(made), count):
        question, answer = (" ".join(rng.choices(words, k=rng.randint(1, most))) for most in (9, 25))
        domain, difficulty = rng.choice(("math", "coding")), rng.choice(("easy", "easy", "hard"))
        made.append(row(1 + at, f"{question}?", answer, domain=domain, difficulty=difficulty))
    return made[:count]
