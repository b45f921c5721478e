"""The plan: how many questions of each cell, so that the tokens are shared as the mix asks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

from shared.errors import FieldError, InfeasibleMix
from shared.planning.ideal import Problem
from shared.planning.mix import Cell, Mix, Surplus
from shared.planning.targets import find_targets


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What a cell is to hold and what is missing of it."""

    cell: Cell
    target: int
    have: int  # existing questions that are not discarded
    selected: int  # of those, the ones that count towards the target
    generate: int  # the deficit
    surplus: int  # existing ones beyond the target
    mean_tokens: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """The targets of every cell, in the order of the mix."""

    cells: tuple[CellPlan, ...]

    @property
    def questions(self) -> int:
        """All targets together."""
        return sum(each.target for each in self.cells)

    @property
    def generate(self) -> int:
        """All deficits together."""
        return sum(each.generate for each in self.cells)

    @property
    def by_difficulty(self) -> dict[str, int]:
        """Questions of each difficulty."""
        counts: dict[str, int] = {}
        for each in self.cells:
            counts[each.cell.difficulty] = counts.get(each.cell.difficulty, 0) + each.target
        return counts

    @property
    def tokens_by_difficulty(self) -> dict[str, Decimal]:
        """Tokens that the questions of each difficulty will hold, by their means."""
        tokens: dict[str, Decimal] = {}
        for each in self.cells:
            tokens[each.cell.difficulty] = tokens.get(each.cell.difficulty, Decimal(0)) + each.target * each.mean_tokens
        return tokens

    @property
    def token_shares(self) -> dict[str, Decimal]:
        """The share of all tokens that each difficulty will hold; 0 throughout when there are none."""
        tokens = self.tokens_by_difficulty
        whole = sum(tokens.values()) or Decimal(1)
        return {difficulty: part / whole for difficulty, part in tokens.items()}

    def to_json(self) -> dict[str, Any]:
        """The `cells` and `totals` of POST /v1/plans, in plain JSON numbers."""
        return {
            "cells": [
                {
                    "domain": each.cell.domain,
                    "difficulty": each.cell.difficulty,
                    "target": each.target,
                    "have": each.have,
                    "selected": each.selected,
                    "generate": each.generate,
                    "surplus": each.surplus,
                    "mean_tokens": _number(each.mean_tokens),
                }
                for each in self.cells
            ],
            "totals": {
                "questions": self.questions,
                "by_difficulty": self.by_difficulty,
                "tokens_by_difficulty": {name: _number(part) for name, part in self.tokens_by_difficulty.items()},
                "token_shares": {name: round(float(share), 9) for name, share in self.token_shares.items()},
                "generate": self.generate,
            },
        }

    def with_targets(self, targets: Mapping[Cell, int], means: Mapping[Cell, Decimal]) -> "Plan":
        """The plan with other targets, and means where they are given, for the same questions that were there."""
        return Plan(
            tuple(
                _plan_cell(each.cell, targets[each.cell], each.have, means.get(each.cell, each.mean_tokens))
                for each in self.cells
            )
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The plan of a stored `to_json`; its totals follow from the cells."""
        return cls(
            tuple(
                CellPlan(
                    cell=Cell(each["domain"], each["difficulty"]),
                    target=each["target"],
                    have=each["have"],
                    selected=each["selected"],
                    generate=each["generate"],
                    surplus=each["surplus"],
                    mean_tokens=Decimal(str(each["mean_tokens"])),
                )
                for each in document["cells"]
            )
        )


def make_plan(mix: Mix, have: Mapping[Cell, int], surplus: Surplus) -> Plan:
    """The plan with exact totals whose token split is as close to the mix's shares as whole questions allow.

    `have` counts the existing questions per cell that are not discarded; cells outside the mix are ignored.
    Raises InfeasibleMix, naming the domain and the reason, when the lower bounds exceed a domain's total.
    """
    bounds = {cell: _lower_bound(mix, cell, have, surplus) for cell in mix.cells()}
    _refuse_infeasible(mix, bounds, have, surplus)
    # In the order of the names, so that the same mix read back with its keys in another order gets the same plan.
    domains, difficulties = sorted(mix.domains), sorted(mix.difficulties)
    shares = [Fraction(mix.difficulties[difficulty].token_share) for difficulty in difficulties]
    problem = Problem(
        totals=tuple(mix.domains[domain] for domain in domains),
        shares=tuple(share / sum(shares) for share in shares),
        means=tuple(tuple(Fraction(mix.mean_of(Cell(d, k))) for k in difficulties) for d in domains),
        lower=tuple(tuple(bounds[Cell(d, k)] for k in difficulties) for d in domains),
    )
    targets = {
        Cell(domain, difficulty): count
        for domain, counts in zip(domains, find_targets(problem, mix.scope), strict=True)
        for difficulty, count in zip(difficulties, counts, strict=True)
    }
    cells = mix.cells()
    return Plan(tuple(_plan_cell(cell, targets[cell], have.get(cell, 0), mix.mean_of(cell)) for cell in cells))


def _plan_cell(cell: Cell, target: int, have: int, mean_tokens: Decimal) -> CellPlan:
    selected = min(have, target)
    return CellPlan(
        cell=cell,
        target=target,
        have=have,
        selected=selected,
        generate=target - selected,
        surplus=have - selected,
        mean_tokens=mean_tokens,
    )


def _lower_bound(mix: Mix, cell: Cell, have: Mapping[Cell, int], surplus: Surplus) -> int:
    kept = have.get(cell, 0) if surplus is Surplus.KEEP else 0
    return max(mix.minimum.get(cell.difficulty, 0), kept)


def _refuse_infeasible(mix: Mix, bounds: Mapping[Cell, int], have: Mapping[Cell, int], surplus: Surplus) -> None:
    problems = [
        FieldError(f"mix.domains.{domain}", f"{domain}: {reason}, more than its total of {total:,}; {remedy}")
        for domain, total in mix.domains.items()
        for reason, remedy in _exceed(mix, domain, bounds, have if surplus is Surplus.KEEP else {})
    ]
    if problems:
        raise InfeasibleMix(". ".join(problem.msg for problem in problems), problems)


def _exceed(mix: Mix, domain: str, bounds: Mapping[Cell, int], kept: Mapping[Cell, int]) -> Iterator[tuple[str, str]]:
    """What is too much for the domain's total, and what to do about it; nothing when all fits."""
    total, cells = mix.domains[domain], [Cell(domain, difficulty) for difficulty in mix.difficulties]
    if sum(bounds[cell] for cell in cells) <= total:
        return
    existing = {cell.difficulty: kept.get(cell, 0) for cell in cells}
    if sum(existing.values()) > total:
        yield (
            f"it has {_listed(existing)} existing questions",
            'raise the total to keep them, or set surplus to "subsample"',
        )
    elif sum(mix.minimum.values()) > total:
        yield f"the minimums add up to {_listed(mix.minimum)}", "raise the total or lower the minimums"
    else:
        needed = {cell.difficulty: bounds[cell] for cell in cells}
        yield (
            f"existing questions and minimums together need {_listed(needed)}",
            'raise the total, lower the minimums or set surplus to "subsample"',
        )


def _listed(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count:,} {difficulty}" for difficulty, count in counts.items() if count)
    return f"{sum(counts.values()):,} ({parts})"


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
