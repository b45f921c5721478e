"""The answerers: how long a model's answers are, and over which questions it reasons for long."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from local.rehearsal.answer_text import write_answer
from local.rehearsal.grammar import Dice
from local.rehearsal.writing import LONG_FROM_TOKENS, spread
from shared.planning.mix import fold_name
from shared.questions.tokens import count_tokens

DEFAULT_TOKENS_SHORT = 60.0
DEFAULT_TOKENS_LONG = 900.0
DEFAULT_REASONING_ROOM = 4096
LEAST_TOKENS = 40.0  # below, the sentences are too long for the mean to be met
MOST_TOKENS = 20_000.0


@dataclass(frozen=True, slots=True)
class Answerers:
    """Answers of `tokens_short` and `tokens_long` tokens on average, to questions below and from 45 tokens.

    A model reasons for long over `reasoning_share` of the questions: a call for one of them that may not take
    `reasoning_room` output tokens ends at its limit, and nothing is written.
    """

    tokens_short: float = DEFAULT_TOKENS_SHORT
    tokens_long: float = DEFAULT_TOKENS_LONG
    reasoning_share: float = 0.0
    reasoning_room: int = DEFAULT_REASONING_ROOM

    def answer(self, question: str, *, domain: str, model: str, random: Random) -> str:
        """An answer of this model's; asked again, it words another one."""
        dice = Dice(f"answer|{question}|{model}|{random.getrandbits(64)}".encode())
        long = _is_long(question)
        target = self._mean(long=long) * spread(dice.unit(), long=long)
        return write_answer(dice, fold_name(domain), question, target, long=long)

    def answers(self, questions: Mapping[int, str], *, domain: str, model: str, random: Random) -> dict[int, str]:
        """An answer to each question of a prompt, by their numbers."""
        return {
            number: self.answer(question, domain=domain, model=model, random=random)
            for number, question in questions.items()
        }

    def expected_tokens(self, questions: Iterable[str]) -> float:
        """What the answers take on average, all together."""
        return sum(self._mean(long=_is_long(question)) for question in questions)

    def reasons_long(self, questions: Iterable[str], model: str) -> bool:
        """Whether one of the questions is such that this model reasons over it for long; the same each time."""
        if self.reasoning_share <= 0:
            return False
        return any(Dice(f"reasons|{each}|{model}".encode()).unit() < self.reasoning_share for each in questions)

    def _mean(self, *, long: bool) -> float:
        return self.tokens_long if long else self.tokens_short


def _is_long(question: str) -> bool:
    # Hardly anything has more tokens than characters, and a long text need not be counted to its end.
    return len(question) >= LONG_FROM_TOKENS and count_tokens(question[:2000]) >= LONG_FROM_TOKENS
