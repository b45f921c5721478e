"""The finite pools of questions, keyed by the topic words of a prompt and drawn from Zipf-wise.

A model asked about one topic has its favourites: some questions come again and again, others hardly ever. Nearly half
of a reply comes from the pool of the whole topic, which all its subtopics share, the rest from the pool of subtopic and
form. So a plan that varies its topics keeps finding new questions, while one fixed prompt runs dry.
"""

from bisect import bisect
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random

from local.rehearsal.ask import Ask
from local.rehearsal.grammar import Dice, Grammar, Words, grammar_for, to_phrase
from local.rehearsal.writing import LONG_FROM_TOKENS, write_latex, write_question
from shared.planning.mix import fold_name

DEFAULT_POOL_SIZE = 2000
TOPIC_SHARE = 0.48
_ZIPF_OFFSET = 20  # Zipf-Mandelbrot, exponent 1: flattens the head, so that no single question is a tenth of all
_REDRAWS = 6
_to_phrase = lru_cache(maxsize=4096)(to_phrase)


@dataclass(frozen=True, slots=True)
class _Pool:
    """A pool as one prompt sees it: the text of an item depends on the key and its number only."""

    key: str
    size: int
    grammar: Grammar
    words: Words

    def write(self, item: int, ask: Ask) -> str:
        return write_question(Dice(f"{self.key}|{item}".encode()), self.grammar, self.words, ask)


class Pools:
    """All pools; none is stored, an item is written when it is drawn. `size` is that of a subtopic and form's pool."""

    def __init__(self, size: int = DEFAULT_POOL_SIZE) -> None:
        self.size = size

    def draw(self, ask: Ask, random: Random) -> list[str]:
        """The questions of one reply, which repeats itself only when its pools hold too few."""
        domain, topic, subtopic, form = (fold_name(name) for name in (ask.domain, ask.topic, ask.subtopic, ask.form))
        grammar = grammar_for(domain, form)
        band = "long" if ask.mean_tokens >= LONG_FROM_TOKENS else "short"
        phrase = _to_phrase(ask.topic)
        of_topic = _Pool(f"{domain}|{topic}|{band}", max(self.size // 3, 1), grammar, Words(phrase, phrase))
        of_leaf = _Pool(
            f"{domain}|{topic}|{subtopic}|{form}|{band}", self.size, grammar, Words(_to_phrase(ask.subtopic), phrase)
        )
        drawn: dict[tuple[str, int], str] = {}
        return [
            _draw_one(of_topic if random.random() < TOPIC_SHARE else of_leaf, ask, drawn, random)
            for _ in range(ask.questions)
        ]

    def draw_latex(self, ask: Ask, random: Random) -> str:
        """A question with LaTeX in it, from a pool of its own."""
        domain = fold_name(ask.domain)
        key = f"{domain}|{fold_name(ask.subtopic)}|latex|{_draw_rank(self.size, random)}"
        words = Words(_to_phrase(ask.subtopic), _to_phrase(ask.topic))
        return write_latex(Dice(key.encode()), grammar_for(domain), words)


def _draw_one(pool: _Pool, ask: Ask, drawn: dict[tuple[str, int], str], random: Random) -> str:
    text = ""
    for _ in range(_REDRAWS):
        item = (pool.key, _draw_rank(pool.size, random))
        if item in drawn:
            text = drawn[item]
            continue
        text = drawn[item] = pool.write(item[1], ask)
        if text not in ask.avoid:
            break
    return text


@lru_cache(maxsize=16)
def _zipf_weights(size: int) -> list[float]:
    return list(accumulate(1.0 / (rank + _ZIPF_OFFSET) for rank in range(1, size + 1)))


def _draw_rank(size: int, random: Random) -> int:
    weights = _zipf_weights(size)
    return bisect(weights, random.random() * weights[-1], hi=size - 1)
