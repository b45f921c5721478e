"""The problem of the planner, and the fractional counts that would solve it without rounding."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from shared.planning.program import Floats, Program

Counts: TypeAlias = tuple[tuple[int, ...], ...]

# The weight of a question's distance beside the tokens it moves: it decides only where tokens do not.
_TIE = 1e-4
# A count this near to a whole number is that number: the solver's floats carry such errors.
SNAP = 1e-6


@dataclass(frozen=True, slots=True)
class Problem:
    """Totals per domain, shares per difficulty (summing to 1), and per domain x difficulty means and lower bounds."""

    totals: tuple[int, ...]
    shares: tuple[Fraction, ...]
    means: tuple[tuple[Fraction, ...], ...]
    lower: Counts

    def deviation(self, counts: Sequence[Sequence[int]]) -> Fraction:
        """How far the token split of the counts is from the shares; see `find_deviation`."""
        return find_deviation(counts, self.means, self.shares)

    def is_met_by(self, counts: Sequence[Sequence[int]]) -> bool:
        """Whether every total is exact and every lower bound kept."""
        return all(
            sum(row) == total and all(count >= least for count, least in zip(row, lower, strict=True))
            for row, total, lower in zip(counts, self.totals, self.lower, strict=True)
        )


def find_excess(
    counts: Sequence[Sequence[int | Fraction]], means: Sequence[Sequence[Fraction]], shares: Sequence[Fraction]
) -> list[Fraction]:
    """Per difficulty: tokens - share x all tokens, exactly. A row may be the sum of several domains."""
    tokens = [Fraction(0)] * len(shares)
    for row, row_means in zip(counts, means, strict=True):
        for k, (count, mean) in enumerate(zip(row, row_means, strict=True)):
            tokens[k] += count * mean
    whole = sum(tokens)
    return [part - share * whole for part, share in zip(tokens, shares, strict=True)]


def find_deviation(
    counts: Sequence[Sequence[int | Fraction]], means: Sequence[Sequence[Fraction]], shares: Sequence[Fraction]
) -> Fraction:
    """How far a token split is from the shares, in tokens: the sum of what is over and what is under them."""
    return sum((abs(excess) for excess in find_excess(counts, means, shares)), Fraction(0))


def find_ideal(problem: Problem) -> Floats:
    """The fractional counts with which each domain is as close to the shares as its lower bounds allow.

    Where no bound is in the way: n[d,k] = N_d * (s_k / t_k) / sum_m (s_m / t_m), whose split is exact.
    """
    rows = [_fill(problem, d) for d in range(len(problem.totals))]
    ideal = np.array([[float(count) for count in row] for row in rows])
    # With two difficulties the bound of one settles the other: there is nothing to choose.
    bound = [
        d
        for d, row in enumerate(rows)
        if len(row) > 2 and find_deviation([row], [problem.means[d]], problem.shares) > 0
    ]
    if bound:
        ideal[bound] = _closest(problem, bound, ideal[bound])
    whole = np.rint(ideal)
    return np.where(np.abs(ideal - whole) < SNAP, whole, ideal)


def _fill(problem: Problem, d: int) -> list[Fraction]:
    """The domain's counts in proportion to share / mean, those below their lower bound lifted to it.

    A difficulty without a share gets no questions beyond its lower bound.
    """
    weights = [share / mean for share, mean in zip(problem.shares, problem.means[d], strict=True)]
    counts = [Fraction(least) for least in problem.lower[d]]
    free = [k for k, weight in enumerate(weights) if weight]
    while free:
        room = problem.totals[d] - sum(least for k, least in enumerate(problem.lower[d]) if k not in free)
        unit = room / sum((weights[k] for k in free), Fraction(0))
        # Lifting one leaves less for the others, never more: what is lifted stays lifted.
        kept = [k for k in free if weights[k] * unit >= problem.lower[d][k]]
        if kept == free:
            for k in free:
                counts[k] = weights[k] * unit
            break
        free = kept
    return counts


def _closest(problem: Problem, domains: Sequence[int], filled: Floats) -> Floats:
    """The counts that bring each domain's own token split closest to the shares, near to `filled` where that is free.

    A bound that lifts one difficulty above its share is diluted best by the dearest of the others, so proportion alone
    is not the closest.
    """
    program = Program()
    shares = np.array([float(share) for share in problem.shares])
    for d, row in zip(domains, filled, strict=True):
        means = np.array([float(mean) for mean in problem.means[d]])
        lower = np.array(problem.lower[d], dtype=np.float64)
        counts = program.add_columns(row.shape, lower, np.where(shares > 0, np.inf, lower), whole=False)
        over = program.add_columns(row.shape, 0.0, np.inf, whole=False)
        away = program.add_columns(row.shape, 0.0, np.inf, whole=False)
        program.add_row(counts, 1.0, problem.totals[d], problem.totals[d])
        for k in range(len(shares)):
            own = np.arange(len(shares)) == k
            program.add_row([*counts, over[k]], [*(means * (own - shares[k])), -1.0], -np.inf, 0.0)
            program.add_row([counts[k], away[k]], [1.0, -1.0], -np.inf, row[k])
            program.add_row([counts[k], away[k]], [1.0, 1.0], row[k], np.inf)
        program.set_cost(over, 1.0)
        program.set_cost(away, _TIE * means.min())
    solution = program.solve()
    if solution is None:
        return filled
    width = len(shares)
    # Each domain added three blocks of columns: counts, over, away.
    return solution.reshape(len(domains), 3, width)[:, 0, :]
