"""What is asked for: how many questions of each domain, and how the tokens are shared among the difficulties."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class Cell(NamedTuple):
    """One domain x one difficulty."""

    domain: str
    difficulty: str

    def __str__(self) -> str:
        return f"{self.domain}/{self.difficulty}"


class Measure(StrEnum):
    """Which tokens are balanced."""

    PROMPT = "prompt"  # of the question
    COMPLETION = "completion"  # of the answer; a loss-masked trainer sees only these
    TOTAL = "total"  # of both


class Means(StrEnum):
    """Where the mean tokens of a cell come from."""

    FIXED = "fixed"  # from the mix
    MEASURED = "measured"  # from the mix until rows arrive, then from them


class ShareScope(StrEnum):
    """Where the token shares hold."""

    GLOBAL = "global"  # over the whole mix: other cells give way to lower bounds
    DOMAIN = "domain"  # in each domain by itself


class Surplus(StrEnum):
    """What becomes of existing questions beyond a cell's target."""

    SUBSAMPLE = "subsample"  # the target's number stays selected, the rest is kept as reserve
    KEEP = "keep"  # they are a lower bound of the target


_GAPS = re.compile(r"[\s_-]+")


def fold_name(name: str) -> str:
    """The form in which names of domains, difficulties and tags are compared: "Tool_Use" is "tool use"."""
    return _GAPS.sub(" ", name).strip().lower()


@dataclass(frozen=True, slots=True)
class Difficulty:
    """The share of all tokens that a difficulty gets, and the tokens of one of its questions on average."""

    token_share: Decimal
    mean_tokens: Decimal

    def __post_init__(self) -> None:
        if not 0 <= self.token_share <= 1:
            raise ValueError(f"a token share lies between 0 and 1, not at {self.token_share}")
        _refuse_mean(self.mean_tokens)


@dataclass(frozen=True, slots=True)
class Mix:
    """The mix of a job, its names folded (`fold_name`) and its shares adding up to 1.

    `mean_tokens` holds own means as domain -> difficulty -> tokens; `minimum` the smallest count of a difficulty in
    each domain; `answer_tokens` the part of a difficulty's mean that its answer has, where both are balanced.
    Raises ValueError on nonsense: what a person typed is checked before, with better words.
    """

    domains: Mapping[str, int]
    difficulties: Mapping[str, Difficulty]
    mean_tokens: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    minimum: Mapping[str, int] = field(default_factory=dict)
    answer_tokens: Mapping[str, Decimal] = field(default_factory=dict)
    measure: Measure = Measure.PROMPT
    means: Means = Means.FIXED
    scope: ShareScope = ShareScope.GLOBAL

    def __post_init__(self) -> None:
        if not self.domains or not self.difficulties:
            raise ValueError("a mix has at least one domain and one difficulty")
        for name in (*self.domains, *self.difficulties):
            if not name or name != fold_name(name):
                raise ValueError(f"the name {name!r} is not folded")
        if any(total < 0 for total in self.domains.values()) or any(least < 0 for least in self.minimum.values()):
            raise ValueError("totals and minimums are not negative")
        # The planner divides by the sum, so only a grossly wrong one is a mistake.
        if abs(sum((each.token_share for each in self.difficulties.values()), Decimal(-1))) > Decimal("1e-6"):
            raise ValueError("the token shares do not add up to 1")
        if not self.minimum.keys() <= self.difficulties.keys():
            raise ValueError("a minimum is set for an unknown difficulty")
        for domain, own in self.mean_tokens.items():
            if domain not in self.domains or not own.keys() <= self.difficulties.keys():
                raise ValueError(f"own means are set for an unknown cell of {domain!r}")
            for mean in own.values():
                _refuse_mean(mean)

    def cells(self) -> tuple[Cell, ...]:
        """Every cell, domain by domain, in the order of the mix."""
        return tuple(Cell(domain, difficulty) for domain in self.domains for difficulty in self.difficulties)

    def mean_of(self, cell: Cell) -> Decimal:
        """Mean tokens of a question of the cell: its own, or else its difficulty's."""
        own = self.mean_tokens.get(cell.domain, {})
        return own.get(cell.difficulty, self.difficulties[cell.difficulty].mean_tokens)


def _refuse_mean(mean: Decimal) -> None:
    if not (mean.is_finite() and mean > 0):
        raise ValueError(f"mean tokens are a number above 0, not {mean}")
