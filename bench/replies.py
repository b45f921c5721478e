"""Replies made beforehand, as the rehearsal models would answer a job's prompts."""

from random import Random

import orjson

from local.rehearsal.ask import read_ask
from local.rehearsal.pools import Pools
from shared.planning.mix import Cell
from shared.questions.atlas import atlas_for
from shared.questions.prompts import Prompt, draw_tuple, write_prompt

CELL = Cell("coding", "easy")
MEAN_TOKENS = 20
SEED = 2025


def make_prompts(count: int, questions: int) -> list[Prompt]:
    """The prompts of a cell's first calls."""
    atlas = atlas_for(CELL.domain)
    drawn = (draw_tuple(atlas, SEED, CELL, ordinal) for ordinal in range(count))
    return [write_prompt(atlas, each, questions=questions, mean_tokens=MEAN_TOKENS) for each in drawn]


def make_replies(count: int, questions: int) -> list[str]:
    """So many replies of so many questions each, about 6 % of which repeat another one."""
    pools, random = Pools(), Random(SEED)
    replies = []
    for prompt in make_prompts(count, questions):
        ask = read_ask(prompt.user)
        assert ask is not None
        replies.append(orjson.dumps({"questions": pools.draw(ask, random)}).decode())
    return replies
