"""What a job has still to do in each stage and what that will cost, from what it did and what was forecast. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

# With fewer results than this, what was forecast says more than what was spent.
LEAST_RESULTS = 40
# Judges are taken to accept everything until they have judged more than these imagined questions.
PASS_PRIOR = 20
# Below it no more is made ahead: that the judges reject most may have a cause that a person should look into.
LEAST_PASS_RATE = 0.5


@dataclass(frozen=True, slots=True)
class Stand:
    """The questions of a cell: its target, what counts towards it or is in reserve, and what the later stages did."""

    difficulty: str
    target: int
    selected: int = 0
    reserve: int = 0
    validated: int = 0
    reserve_validated: int = 0
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Spending:
    """What a stage brought and cost for one difficulty: by the ledger, and as it was forecast."""

    results: int = 0
    cost_usd: Decimal = Decimal(0)
    forecast_results: int = 0
    forecast_usd: Decimal = Decimal(0)

    @property
    def usd_per_result(self) -> Decimal:
        """What one more result will cost."""
        if self.results >= LEAST_RESULTS or not self.forecast_results:
            return self.cost_usd / self.results if self.results else Decimal(0)
        return self.forecast_usd / self.forecast_results


def pass_rate(judged: int, passed: int) -> float:
    """The share of the questions judged that were accepted, pulled towards 1 while there are few."""
    return max(LEAST_PASS_RATE, (passed + PASS_PRIOR) / (judged + PASS_PRIOR))


def left_of(stand: Stand, stages: Sequence[str], rate: float) -> dict[str, int]:
    """Results that each stage has still to bring for a cell; `rate` is the share that its judges accept."""
    left: dict[str, int] = {}
    unseen = stand.selected + stand.reserve
    wanted = max(0, stand.target - unseen)
    if "validate" in stages:
        passed = stand.validated + stand.reserve_validated
        left["validate"] = ceil(max(0, stand.target - passed) / rate)
        wanted = max(0, left["validate"] - (unseen - passed))
    if "generate" in stages:
        left["generate"] = wanted
    if "answer" in stages:
        left["answer"] = max(0, stand.target - stand.answered)
    return {stage: left[stage] for stage in stages}


def seconds_left(
    left: Mapping[str, int], per_minute: Mapping[str, float], forecast: Sequence[Mapping[str, Any]]
) -> int | None:
    """Time until the results that are `left` by stage are there, at the pace of the last minute; None while unknown.

    A result is worth the tokens that its stage was forecast to need for one: an answer is more than a verdict, and
    while the early stages are at work the many cheap results of these say little about the late ones. As the last
    stage gets on, its own pace says more and more: it alone is what the end waits for. `forecast` are the plan's
    stages; where one says nothing, all results are worth the same.
    """
    if not any(left.values()):
        return 0
    planned = {each["stage"]: each for each in forecast if each.get("questions") and each["stage"] in left}
    worth: dict[str, float] = {
        stage: (its.get("input_tokens", 0) + its.get("output_tokens", 0)) / its["questions"]
        for stage, its in planned.items()
    }
    if not set(left) <= worth.keys() or not all(worth.values()):
        worth = dict.fromkeys((*left, *per_minute), 1.0)
    pace = sum(rate * worth.get(stage, 0.0) for stage, rate in per_minute.items())
    if not pace:
        return None
    minutes = sum(count * worth[stage] for stage, count in left.items()) / pace
    last = list(left)[-1]
    if last in planned and per_minute.get(last):
        done: float = max(0.0, 1 - left[last] / planned[last]["questions"])
        minutes += done * (left[last] / per_minute[last] - minutes)
    return round(minutes * 60)


def cost_of(left: Mapping[str, Mapping[str, int]], spending: Mapping[tuple[str, str], Spending]) -> dict[str, Decimal]:
    """What so many results will cost by stage; `left` is stage -> difficulty -> results."""
    nothing = Spending()
    return {
        stage: sum(
            (count * spending.get((stage, difficulty), nothing).usd_per_result for difficulty, count in its.items()),
            Decimal(0),
        )
        for stage, its in left.items()
    }
