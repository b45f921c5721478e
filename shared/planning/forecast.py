"""What work will take: calls, tokens, money and time. Estimates, from what was measured or from constants that say
where they are from.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

# Quotes, comma and escapes around each question of a reply: 2.1 to 2.7 measured on compact JSON, more when indented.
JSON_TOKENS_PER_QUESTION = 4
# The tags around each question that a judge or an answerer is shown.
TAG_TOKENS_PER_QUESTION = 14
# A verdict: a number, six scores by name and a reason, which is mostly empty; measured on compact JSON.
VERDICT_TOKENS = 54
# An answer's number and its names in the JSON.
JSON_TOKENS_PER_ANSWER = 12
# Until a job or its like has been seen: so many candidates are new, and so many questions pass their judges.
EXPECTED_YIELD = Decimal("0.96")
EXPECTED_PASS_RATE = Decimal("0.95")
HALF_A_QUESTION = Decimal("0.5")

# What one call costs in US dollars: stage, model, input tokens, output tokens.
CostPerCall = Callable[[str, str, int, int], Decimal]


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """One call: how many results it brings (questions admitted, judged or answered) and its tokens."""

    results: Decimal
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Load:
    """Work of one stage and cell: how many results are wanted of each of the models, and what a call brings.

    With `whole_calls` the last call asks for as much as any, needed or not; else only for what is left.
    """

    stage: str
    difficulty: str
    results: Decimal
    models: tuple[str, ...]
    estimate: CallEstimate
    whole_calls: bool


@dataclass(frozen=True, slots=True)
class StageForecast:
    """What one stage will take; `results` counts questions, whatever the number of models."""

    stage: str
    results: Decimal
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    by_difficulty: Mapping[str, tuple[Decimal, Decimal]]

    def to_json(self) -> dict[str, Any]:
        """In plain JSON; money as a string, so that it stays exact."""
        return {
            "stage": self.stage,
            "questions": round(self.results),
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": f"{self.cost_usd:.4f}",
            "by_difficulty": {
                name: {"questions": round(results), "cost_usd": f"{usd:.6f}"}
                for name, (results, usd) in self.by_difficulty.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """What all stages will take."""

    stages: tuple[StageForecast, ...]
    seconds: float

    @property
    def calls(self) -> int:
        """Of all stages."""
        return sum(each.calls for each in self.stages)

    @property
    def cost_usd(self) -> Decimal:
        """Of all stages."""
        return sum((each.cost_usd for each in self.stages), Decimal(0))

    def to_json(self) -> dict[str, Any]:
        """The `forecast` of POST /v1/plans."""
        return {
            "calls": self.calls,
            "input_tokens": sum(each.input_tokens for each in self.stages),
            "output_tokens": sum(each.output_tokens for each in self.stages),
            "cost_usd": f"{self.cost_usd:.4f}",
            "seconds": round(self.seconds, 1),
            "stages": [each.to_json() for each in self.stages],
        }


def make_forecast(
    loads: Iterable[Load],
    *,
    stages: Iterable[str],
    cost_per_call: CostPerCall,
    calls_in_flight: int,
    seconds_per_call: float,
) -> Forecast:
    """The calls that the loads lead to, by stage.

    Prices have tiers, so the price function is asked per call, never for a sum.
    """
    loads = list(loads)
    forecasts = tuple(
        _of_stage(stage, [load for load in loads if load.stage == stage], cost_per_call) for stage in stages
    )
    calls = sum(each.calls for each in forecasts)
    return Forecast(forecasts, ceil(calls / calls_in_flight) * seconds_per_call)


def _of_stage(stage: str, loads: Iterable[Load], cost_per_call: CostPerCall) -> StageForecast:
    calls = input_tokens = output_tokens = 0
    by_difficulty: dict[str, tuple[Decimal, Decimal]] = {}
    for load in loads:
        its = load.estimate
        cost = Decimal(0)
        for model in load.models:
            share = _share(load)
            calls += ceil(share)
            input_tokens += ceil(share) * its.input_tokens
            output_tokens += ceil(share * its.output_tokens)
            price = cost_per_call(stage, model, its.input_tokens, its.output_tokens)
            cost += share * price
        results, usd = by_difficulty.get(load.difficulty, (Decimal(0), Decimal(0)))
        by_difficulty[load.difficulty] = (results + load.results, usd + cost)
    return StageForecast(
        stage,
        sum((results for results, _ in by_difficulty.values()), Decimal(0)),
        calls,
        input_tokens,
        output_tokens,
        sum((usd for _, usd in by_difficulty.values()), Decimal(0)),
        by_difficulty,
    )


def _share(load: Load) -> Decimal:
    """How many calls the work takes, the last one in proportion to what it is asked for."""
    if not load.whole_calls:
        return load.results / load.estimate.results
    # What is expected to be missing is made up for by one more call; half a question is more likely not to be.
    return Decimal(ceil(max(Decimal(0), load.results - HALF_A_QUESTION) / load.estimate.results))


def assume_generation(questions_per_call: int, mean_tokens: Decimal, overhead_tokens: int) -> CallEstimate:
    """A call for so many questions; `overhead_tokens` has the prompt with its instructions and schema."""
    output = ceil(questions_per_call * (mean_tokens + JSON_TOKENS_PER_QUESTION))
    return CallEstimate(questions_per_call * EXPECTED_YIELD, overhead_tokens, output)


def assume_validation(questions_per_call: int, mean_tokens: Decimal, overhead_tokens: int) -> CallEstimate:
    """A call in which a judge is shown so many questions."""
    shown = ceil(questions_per_call * (mean_tokens + TAG_TOKENS_PER_QUESTION))
    return CallEstimate(Decimal(questions_per_call), overhead_tokens + shown, questions_per_call * VERDICT_TOKENS)


def assume_answering(
    questions_per_call: int, mean_tokens: Decimal, answer_tokens: Decimal, overhead_tokens: int
) -> CallEstimate:
    """A call in which a model answers so many questions."""
    shown = ceil(questions_per_call * (mean_tokens + TAG_TOKENS_PER_QUESTION))
    output = ceil(questions_per_call * (answer_tokens + JSON_TOKENS_PER_ANSWER))
    return CallEstimate(Decimal(questions_per_call), overhead_tokens + shown, output)
