"""Questions of about 100 characters that are all different and hardly alike."""

from collections.abc import Iterator
from random import Random

SEED = 2025
OPENINGS = ("How would", "Why does", "When can", "In which way might", "To what end does", "Where would")
# Words made of syllables: 13,824 of them, so that no two questions share many of their 4-grams.
SYLLABLES = (
    *("bar", "cel", "dor", "fen", "gal", "hin", "jor", "kel", "lum", "mar", "nor", "pel"),
    *("quin", "ros", "sil", "tam", "ul", "vor", "wen", "xal", "yor", "zim", "ash", "oth"),
)
WORDS_IN_EACH = 8


def make_questions(count: int, seed: int = SEED) -> Iterator[str]:
    """So many; the number in each makes it unlike all others."""
    random = Random(seed)
    words = [first + second + third for first in SYLLABLES for second in SYLLABLES for third in SYLLABLES]
    for number in range(count):
        chosen = " ".join(random.choices(words, k=WORDS_IN_EACH))
        yield f"{random.choice(OPENINGS)} {chosen} {number}?"
