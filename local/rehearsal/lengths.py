"""What to aim at so that a domain's questions are as long as wanted: grammars miss a length by a tenth and more."""

from functools import lru_cache
from statistics import fmean

from local.rehearsal.ask import Ask
from local.rehearsal.grammar import Dice, Words, grammar_for, to_phrase
from local.rehearsal.writing import LONG_FROM_TOKENS, spread, write_question
from shared.planning.mix import Cell
from shared.questions.atlas import atlas_for
from shared.questions.prompts import draw_tuple
from shared.questions.tokens import count_tokens

_SAMPLE_SHORT = 800
_SAMPLE_LONG = 80
_ROUNDS = 3
_STEP = 0.618  # spreads the places of the sample evenly, whichever part of it is looked at
_SEED = 2025


@lru_cache(maxsize=1024)
def find_aim(domain: str, wanted: float, *, long: bool, content_share: float) -> float:
    """The mean to write for, in tokens, so that the questions of a folded domain name average to `wanted`.

    Tried out on a sample of prompts, which takes 50 ms. Short questions cannot be made shorter than their templates.
    `content_share` of the questions take up a piece of content.
    """
    count = _SAMPLE_LONG if long else _SAMPLE_SHORT
    asks = [_ask(domain, ordinal, long=long, content=content_share > 0) for ordinal in range(count)]
    aim = wanted
    for _ in range(_ROUNDS):
        aim = max(aim + wanted - fmean(_measure(asks, aim, long=long, content_share=content_share)), 1.0)
    return aim


def _measure(asks: list[Ask], aim: float, *, long: bool, content_share: float) -> list[int]:
    """The lengths of a question to each prompt."""
    lengths = []
    for place, ask in enumerate(asks):
        takes = bool(ask.pieces) and int((place + 1) * content_share) > int(place * content_share)
        content = ask.pieces[place % len(ask.pieces)] if takes else ""
        topic = to_phrase(ask.topic)
        words = Words(to_phrase(ask.subtopic), topic) if place % 2 else Words(topic, topic)
        target = aim * spread(place * _STEP % 1, long=long)
        grammar = grammar_for(ask.domain, ask.form)
        text = write_question(Dice(b"length|%d" % place), grammar, words, ask, target=target, content=content)
        lengths.append(count_tokens(text))
    return lengths


def _ask(domain: str, ordinal: int, *, long: bool, content: bool) -> Ask:
    tuple_ = draw_tuple(atlas_for(domain), _SEED, Cell(domain, "hard" if long else "easy"), ordinal, inject=content)
    return Ask(
        domain=domain,
        topic=tuple_.topic,
        subtopic=tuple_.subtopic,
        form=tuple_.form,
        setting=tuple_.setting,
        include="; ".join(tuple_.content),
        mean_tokens=LONG_FROM_TOKENS if long else LONG_FROM_TOKENS / 2,  # no more than the kind is told by it
        questions=1,
        avoid=frozenset(),
    )
