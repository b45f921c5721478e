"""What a plan will take: calls, tokens, money and time. Estimates, each from a constant that says where it is from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

from shared.planning.balance import CellPlan, Plan

# Instructions, prompt tuple and JSON schema of one call, in o200k tokens: 550 measured for easy prompts, 680 for hard
# ones, and 90 more with an avoid list of ten.
PROMPT_OVERHEAD_TOKENS = 700
# Quotes, comma and escapes around each question of a reply: 2.1 to 2.7 measured on compact JSON, more when indented.
JSON_TOKENS_PER_QUESTION = 4
# A verdict is a number, a word and a short reason; twenty questions fit well into one call.
VERDICT_TOKENS = 15
QUESTIONS_PER_VALIDATION = 20
# An answer is taken to be half as long again as its question, and not shorter than a paragraph.
ANSWER_TOKENS_PER_QUESTION_TOKEN = Decimal("1.5")
ANSWER_TOKENS_LEAST = 100

# What one call costs in US dollars: stage, difficulty, input tokens, output tokens.
CostPerCall = Callable[[str, str, int, int], Decimal]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the missing part of a plan will take."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The `forecast` of POST /v1/plans; money as a string, so that it stays exact."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": f"{self.cost_usd:.4f}",
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls that are alike, and the tokens of one of them."""

    count: int
    input_tokens: int
    output_tokens: int


def make_forecast(
    plan: Plan,
    *,
    stages: Iterable[str],
    questions_per_call: Mapping[str, int],
    cost_per_call: CostPerCall,
    calls_in_flight: int,
    seconds_per_call: float,
) -> Forecast:
    """The calls that the plan's deficit leads to.

    Prices have tiers, so the price function is asked per call, never for a sum. Repeated and refused questions are not
    foreseen: what they cost comes on top.
    """
    calls = input_tokens = output_tokens = 0
    cost = Decimal(0)
    for stage in stages:
        for cell in plan.cells:
            for alike in _calls_of(stage, cell, questions_per_call[cell.cell.difficulty]):
                calls += alike.count
                input_tokens += alike.count * alike.input_tokens
                output_tokens += alike.count * alike.output_tokens
                price = cost_per_call(stage, cell.cell.difficulty, alike.input_tokens, alike.output_tokens)
                cost += alike.count * price
    seconds = ceil(calls / calls_in_flight) * seconds_per_call
    return Forecast(calls, input_tokens, output_tokens, cost, seconds)


def _calls_of(stage: str, cell: CellPlan, per_call: int) -> list[_Calls]:
    """The cell's calls of a stage: full ones, and one for what is left over."""
    if stage == "validate":
        per_call = QUESTIONS_PER_VALIDATION
    full, rest = divmod(cell.generate, per_call)
    sizes = [(full, per_call), (1, rest)]
    return [_Calls(count, *_tokens_of(stage, cell.mean_tokens, size)) for count, size in sizes if count and size]


def _tokens_of(stage: str, mean_tokens: Decimal, questions: int) -> tuple[int, int]:
    """Input and output tokens of one call for so many questions."""
    asked = ceil(questions * (mean_tokens + JSON_TOKENS_PER_QUESTION))
    if stage == "generate":
        return PROMPT_OVERHEAD_TOKENS, asked
    if stage == "validate":
        return PROMPT_OVERHEAD_TOKENS + asked, questions * VERDICT_TOKENS
    answer = max(Decimal(ANSWER_TOKENS_LEAST), ANSWER_TOKENS_PER_QUESTION_TOKEN * mean_tokens)
    return PROMPT_OVERHEAD_TOKENS + asked, ceil(questions * (answer + JSON_TOKENS_PER_QUESTION))
