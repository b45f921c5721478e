"""The finite pools of questions, keyed by the topic words of a prompt and drawn from Zipf-wise.

A model asked about one topic has its favourites: some questions come again and again, others hardly ever. Nearly half
of a reply comes from the pool of the whole topic, which all its subtopics share, the rest from the pool of subtopic and
form. So a plan that varies its topics keeps finding new questions, while one fixed prompt runs dry: one that names only
its domain keeps 96 % of 1,000 questions and 84 % of 7,700, as a real GPT-4 set did. `./run bench novelty` measures it.

Models know some topics better than others, and take up what a prompt lists to include: each piece in one question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import exp
from random import Random
from statistics import NormalDist

from local.rehearsal.ask import Ask
from local.rehearsal.grammar import Dice, Grammar, Words, grammar_for, to_phrase
from local.rehearsal.lengths import find_aim
from local.rehearsal.writing import LONG_FROM_TOKENS, spread, usual_aim, write_latex, write_question
from shared.planning.mix import fold_name
from shared.questions.atlas import atlas_for

DEFAULT_POOL_SIZE = 20_000
# A domain has as many topics as an atlas has for it: what is known of the domain is what is known of all of them.
TOPICS_OF_A_DOMAIN = 50
TOPIC_SHARE = 0.48
DEPTH_SPREAD = 1.0  # the deviation of the logarithm of how much is known of a topic
CONTENT_SHARE = 0.3  # of the questions take up a piece of what the prompt lists, while there are some left
LEAST_LENGTH, MOST_LENGTH = 0.2, 5.0
_ZIPF_FLATNESS = 1 / 5000  # of the pool's size: so many first ranks come about equally often
_REDRAWS = 6
_NORMAL = NormalDist()
_to_phrase = lru_cache(maxsize=4096)(to_phrase)


@dataclass(frozen=True, slots=True)
class _Pool:
    """A pool as one prompt sees it: the text of an item depends on the key, its number and the content it takes up."""

    key: str
    size: float
    grammar: Grammar
    subjects: Sequence[Words]
    aim: float  # mean tokens

    def write(self, item: int, ask: Ask, content: str) -> str:
        dice = Dice(f"{self.key}|{item}".encode())
        words = self.subjects[dice.below(len(self.subjects))] if len(self.subjects) > 1 else self.subjects[0]
        target = self.aim * spread(dice.unit(), long=ask.mean_tokens >= LONG_FROM_TOKENS)
        return write_question(dice, self.grammar, words, ask, target=target, content=content)


@dataclass(frozen=True, slots=True)
class Pools:
    """All pools; none is stored, an item is written when it is drawn.

    `size` is that of a topic of middling depth, and of a subtopic and form in it. Questions below and from 45 asked
    tokens are `length_short` and `length_long` times as long as asked for; 1 leaves them as their grammar makes them,
    which is near what is asked.
    """

    size: int = DEFAULT_POOL_SIZE
    content_share: float = CONTENT_SHARE
    depth_spread: float = DEPTH_SPREAD
    length_short: float = 1.0
    length_long: float = 1.0

    def draw(self, ask: Ask, random: Random) -> list[str]:
        """The questions of one reply, which repeats itself only when its pools hold too few."""
        domain, topic, subtopic, form = (fold_name(name) for name in (ask.domain, ask.topic, ask.subtopic, ask.form))
        grammar = grammar_for(domain, form)
        band = "long" if ask.mean_tokens >= LONG_FROM_TOKENS else "short"
        key = f"{domain}|{topic}|{band}"
        aim = self._aim(domain, ask)
        if topic == domain:
            of_topic = of_leaf = _Pool(key, self.size * TOPICS_OF_A_DOMAIN, grammar, _subjects_of(domain), aim)
        else:
            size, phrase = max(1.0, self.size * exp(self.depth_spread * _deviate(domain, topic))), _to_phrase(ask.topic)
            of_topic = of_leaf = _Pool(key, size, grammar, [Words(phrase, phrase)], aim)
            if subtopic != topic:
                words = Words(_to_phrase(ask.subtopic), phrase)
                of_leaf = _Pool(f"{domain}|{topic}|{subtopic}|{form}|{band}", size, grammar, [words], aim)
        pieces = list(ask.pieces)
        random.shuffle(pieces)
        drawn: dict[tuple[str, int, str], str] = {}
        questions = []
        for _ in range(ask.questions):
            content = pieces.pop() if pieces and random.random() < self.content_share else ""
            pool = of_topic if random.random() < TOPIC_SHARE else of_leaf
            questions.append(_draw_one(pool, ask, content, drawn, random))
        return questions

    def _aim(self, domain: str, ask: Ask) -> float:
        long = ask.mean_tokens >= LONG_FROM_TOKENS
        factor = self.length_long if long else self.length_short
        if factor == 1:
            return usual_aim(ask)
        share = min(self.content_share, len(ask.pieces) / ask.questions)
        return find_aim(domain, round(ask.mean_tokens * factor, 1), long=long, content_share=round(share * 20) / 20)

    def draw_latex(self, ask: Ask, random: Random) -> str:
        """A question with LaTeX in it, from a pool of its own."""
        domain = fold_name(ask.domain)
        key = f"{domain}|{fold_name(ask.subtopic)}|latex|{_draw_rank(self.size, random)}"
        words = Words(_to_phrase(ask.subtopic), _to_phrase(ask.topic))
        return write_latex(Dice(key.encode()), grammar_for(domain), words)


@lru_cache(maxsize=256)
def _subjects_of(domain: str) -> tuple[Words, ...]:
    """What a model thinks of when a prompt names no topic."""
    topics = atlas_for(domain).topics.items()
    return tuple(Words(_to_phrase(leaf), _to_phrase(topic)) for topic, leaves in topics for leaf in leaves)


@lru_cache(maxsize=4096)
def _deviate(domain: str, topic: str) -> float:
    """How much is known of a topic, against the median one, in deviations of its logarithm; always the same."""
    digest = blake2b(f"{domain}|{topic}|depth".encode(), digest_size=8).digest()
    unit = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return _NORMAL.inv_cdf(unit)


def _draw_one(pool: _Pool, ask: Ask, content: str, drawn: dict[tuple[str, int, str], str], random: Random) -> str:
    text = ""
    for _ in range(_REDRAWS):
        item = _draw_rank(pool.size, random)
        if (pool.key, item, content) in drawn:
            text = drawn[pool.key, item, content]
            continue
        text = drawn[pool.key, item, content] = pool.write(item, ask, content)
        if text not in ask.avoid:
            break
    return text


def _draw_rank(size: float, random: Random) -> int:
    """A rank from 0, by the law of Zipf and Mandelbrot: its chance falls with 1 / (rank + offset)."""
    offset = max(1.0, size * _ZIPF_FLATNESS)
    return min(int(offset * ((size + offset) / offset) ** random.random() - offset), max(0, int(size) - 1))
