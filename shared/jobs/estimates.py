"""What one call of a planned job is taken to need, as long as no such call was made: by its prompts and its mix."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import ceil

import orjson

from shared.database.states import Stage
from shared.jobs.mix_spec import DifficultySpec
from shared.planning.forecast import CallEstimate, assume_answering, assume_generation, assume_validation
from shared.planning.mix import Cell
from shared.questions.answering import answer_room, write_answering_prompt
from shared.questions.atlas import DomainAtlas
from shared.questions.judging import VERDICT_TOKENS, write_judging_prompt
from shared.questions.prompts import (
    AVOID_CHARACTERS,
    REASONING_TOKENS,
    Prompt,
    draw_tuple,
    max_output_tokens,
    write_prompt,
)
from shared.questions.tokens import count_tokens

# So many prompts of a cell are written to see how long they are.
SAMPLES = 6
# Of the questions to avoid that a prompt shows, so many tokens each; at first there are none, later eight.
AVOIDED = 6
AVOID_TOKENS = min(20, AVOID_CHARACTERS // 4)
# A prompt with its instructions and its avoid list, at most.
PROMPT_BYTES = 6_000
# The longest texts that a prompt shows are twice the mean; no tokenizer makes a token of more than so many bytes of
# English prose on average.
BYTES_PER_TOKEN = 6


@dataclass(frozen=True, slots=True)
class StageCall:
    """What calls of a stage and difficulty are asked: how many questions, how long they and their answers are."""

    stage: Stage
    difficulty: str
    questions: int
    mean_tokens: int
    answer_tokens: int

    @property
    def room(self) -> int:
        """The most tokens that a reply may have, at the first try."""
        if self.stage is Stage.GENERATE:
            return max_output_tokens(self.questions, self.mean_tokens)
        if self.stage is Stage.VALIDATE:
            return self.questions * VERDICT_TOKENS + REASONING_TOKENS
        return answer_room(self.questions, self.answer_tokens, 0)

    @property
    def prompt_bytes(self) -> int:
        """The most that its prompt is likely to have."""
        shown = 0 if self.stage is Stage.GENERATE else 2 * self.questions * self.mean_tokens * BYTES_PER_TOKEN
        return PROMPT_BYTES + shown


def stage_call(stage: Stage, difficulty: str, described: DifficultySpec, questions: int) -> StageCall:
    """The calls of a stage, as the mix describes the difficulty."""
    return StageCall(stage, difficulty, questions, ceil(described.mean_tokens), ceil(described.tokens_of_answer))


def assume_call(call: StageCall, cell: Cell, mean_tokens: Decimal, atlas: DomainAtlas, seed: int) -> CallEstimate:
    """A call of one cell, whose questions have `mean_tokens`, by its prompt and what the mix says."""
    overhead = _overhead_tokens(call, cell, atlas, seed)
    if call.stage is Stage.GENERATE:
        return assume_generation(call.questions, mean_tokens, overhead)
    if call.stage is Stage.VALIDATE:
        return assume_validation(call.questions, mean_tokens, overhead)
    return assume_answering(call.questions, mean_tokens, Decimal(call.answer_tokens), overhead)


@lru_cache(maxsize=1024)
def _overhead_tokens(call: StageCall, cell: Cell, atlas: DomainAtlas, seed: int) -> int:
    """Tokens of a prompt without the questions that it shows."""
    if call.stage is Stage.VALIDATE:
        return _count(
            write_judging_prompt([""], domain=cell.domain, difficulty=cell.difficulty, mean_tokens=call.mean_tokens)
        )
    if call.stage is Stage.ANSWER:
        return _count(
            write_answering_prompt(
                [""], domain=cell.domain, difficulty=cell.difficulty, answer_tokens=call.answer_tokens
            )
        )
    prompts = [
        write_prompt(
            atlas, draw_tuple(atlas, seed, cell, ordinal), questions=call.questions, mean_tokens=call.mean_tokens
        )
        for ordinal in range(SAMPLES)
    ]
    return sum(map(_count, prompts)) // SAMPLES + AVOIDED * AVOID_TOKENS


def _count(prompt: Prompt) -> int:
    return count_tokens(prompt.system) + count_tokens(prompt.user) + _count_schema(orjson.dumps(prompt.schema).decode())


_count_schema = lru_cache(maxsize=8)(count_tokens)
