"""From fractional to whole counts: the integer program of the planner.

The floats of the solver only propose. What it proposes is judged in exact fractions, and beside it stands a plain
rounding that needs no solver.
"""

from copy import copy
from dataclasses import replace
from fractions import Fraction

import numpy as np

from shared.planning.ideal import SNAP, Counts, Problem, find_deviation, find_excess, find_ideal
from shared.planning.mix import ShareScope
from shared.planning.program import Columns, Floats, Program

# Deviations that differ by less than this part of all tokens count as equal.
_EQUAL = 1e-8
# A deviation of this part of all tokens is good enough where own means in many cells make a proof of the best dear.
_GOOD = 1e-7
# What a plan far from the ideal has to gain, again as a part of all tokens, if no nearer one is found that gains it.
_WORTH = 1e-6
# First look this many questions around the fractional counts: with own means in many cells a good plan is there.
_NEAR = 2
# Branches of the search. Beyond this many free choices, even a short one has enough of them to combine.
_FEW = 16
_NODES_FEW = 400
_NODES_MANY = 20
_NODES_NEAR = 200
_NODES_GROUPS = 4_000
# Up to this many free choices it is worth looking everywhere for what the first look did not find.
_FAR = 8
# Beyond this many free choices in all domains, most groups keep the sums of the fractional solution, and only those
# with about `_LOOKING` choices look for a closer split.
_LARGE = 1_000
_LOOKING = 120
# Beyond these products of the choices of the groups and of all domains, for one group and for several, the groups are
# planned first as if each were one domain, and their sums are then spread.
_HARD_ALONE = 2_000
_HARD_TOGETHER = 600
# What decides among whole numbers that serve equally well: the first domain by name gets the odd question of the last
# difficulty. Small beside a tenth of a question, large beside the solver's tolerances.
_FIRST = 1e-3


def find_targets(problem: Problem, scope: ShareScope) -> Counts:
    """Whole counts with exact totals whose token split is closest to the shares (`Problem.deviation`).

    Scope `domain` rounds each count of each domain's own ideal up or down; scope `global` may move all of them. Among
    equally close ones, those near to the ideal. The lower bounds must fit into the totals.
    """
    search = _Search(problem, scope)
    plain = _round_plainly(problem, search.reference)
    counts = search.run(plain)
    if counts is None or not problem.is_met_by(counts):
        return plain
    closer = problem.deviation(counts) <= problem.deviation(plain) + Fraction(search.equal)
    return counts if closer else plain


class _Search:
    """One problem in the solver's terms. Domains with equal means form a group: only its sums move the split."""

    def __init__(self, problem: Problem, scope: ShareScope) -> None:
        self.problem = problem
        self.rounds_only = scope is ShareScope.DOMAIN
        groups: dict[tuple[Fraction, ...], list[int]] = {}
        for d, means in enumerate(problem.means):
            groups.setdefault(means, []).append(d)
        self.groups = list(groups.values())
        self.means = np.array([[float(mean) for mean in means] for means in groups])
        # The solver counts tokens in the dearest question: its tolerances are made for numbers around 1.
        self.unit = float(self.means.max())
        self.shares = np.array([float(share) for share in problem.shares])
        self.totals = np.array(problem.totals, dtype=np.float64)
        self.lower = np.array(problem.lower, dtype=np.float64)
        self.upper = np.where(self.shares > 0, np.inf, self.lower)
        self.reference = find_ideal(problem)
        self.base = np.floor(self.reference)
        self.equal = _EQUAL * self._tokens(self.reference)
        if self.rounds_only:
            self.lower, self.upper = np.floor(self.reference), np.ceil(self.reference)
        else:
            self.reference = self._give_way()
            self.base = np.floor(self.reference)
        # The last count of a domain follows from the others.
        self.choices = int(np.maximum((self.upper > self.lower).sum(axis=1) - 1, 0).sum())

    def run(self, plain: Counts) -> Counts | None:
        """The counts that the solver proposes in place of the plain ones."""
        best = self._sums(np.array(plain, dtype=np.float64))
        choices = len(self.groups) * (len(self.shares) - 1)
        nodes = _NODES_FEW if choices <= _FEW else _NODES_MANY
        tokens = self._tokens(self.reference)
        if len(self.groups) > 1:
            looking = self._as_groups() if self.choices > _LARGE and not self.rounds_only else self
            best = looking.closer(best, _NEAR, nodes)
            good = choices > _FAR or self._exact(best) <= _GOOD * tokens
            if good or self.rounds_only:
                return self._round(self.stay_near(limit=None, sums=best))
        if choices * self.choices > (_HARD_ALONE if len(self.groups) == 1 else _HARD_TOGETHER):
            found, near = self._plan_groups(best, nodes)
        else:
            found = self.closer(best, None, nodes)
            near = self.stay_near(limit=self._limit(found), sums=None)
        if near is None:
            worth = self._exact(best) - self._exact(found) > _WORTH * tokens
            near = self.stay_near(limit=None, sums=found if worth else best)
        return self._round(near)

    def _plan_groups(self, best: Floats, nodes: int) -> tuple[Floats, Floats | None]:
        """The closest sums found, and the counts nearest to the reference whose sums are as close.

        Which sums are nearest does not depend on how they are spread, as long as every domain may give way in
        proportion to its total: so a small program settles them, and a linear one spreads them.
        """
        groups = self._as_groups()
        # Rounding each domain's counts up or down does not lead to every rounding of the groups' sums.
        found = self.closer(best, None, nodes) if self.rounds_only else groups.closer(best, None, _NODES_GROUPS)
        sums = groups.stay_near(limit=self._limit(found), sums=None)
        return found, None if sums is None else self.stay_near(limit=None, sums=np.rint(sums))

    def _limit(self, sums: Floats) -> float:
        """The deviation of sums that are as close as these."""
        return float(self._exact(sums)) + self.equal

    def _as_groups(self) -> "_Search":
        """The same search with each group as one domain."""
        # What the domains have to choose stays as it was: a part of a large search is cut short like the whole.
        small = copy(self)
        small.problem = replace(self.problem, means=tuple(self.problem.means[members[0]] for members in self.groups))
        small.groups = [[group] for group in range(len(self.groups))]
        small.totals = np.array([self.totals[members].sum() for members in self.groups])
        small.lower, small.upper = self._sums(self.lower), self._sums(self.upper)
        small.reference = self._sums(self.reference)
        small.base = np.floor(small.reference)
        return small

    def closer(self, sums: Floats, reach: int | None, nodes: int) -> Floats:
        """The group sums, or closer ones if the solver finds any."""
        found = self._find_sums(reach, nodes)
        return found if found is not None and self._exact(found) < self._exact(sums) else sums

    def _held(self) -> dict[int, Floats]:
        """Of a large search, the group sums that are not looked for, by the group's place.

        A vertex of the linear program brings the tokens of all groups as close as fractions can, and is whole but in
        about as many groups as there are difficulties. These look for whole sums, and the largest others with them, so
        that there is something to choose; what the rest holds is counted with theirs.
        """
        looking = _LOOKING // max(1, len(self.shares) - 1)
        if self.choices <= _LARGE or len(self.groups) <= looking:
            return {}
        program, _, sums, over = self._program(whole=False, reach=0)
        program.set_cost(over, 2.0)
        solution = program.solve()
        if solution is None:
            return {}
        found = solution[sums] + self._sums(self.base)
        is_whole = np.abs(found - np.rint(found)).max(axis=1) < SNAP
        totals = [float(self.totals[members].sum()) for members in self.groups]
        by_use = sorted(range(len(found)), key=lambda group: (is_whole[group], -totals[group]))
        return {group: np.rint(found[group]) for group in by_use[looking:] if is_whole[group]}

    def _tokens(self, counts: Floats) -> float:
        return float((self._sums(counts) * self.means).sum())

    def _sums(self, counts: Floats) -> Floats:
        return np.array([counts[members].sum(axis=0) for members in self.groups])

    def _exact(self, sums: Floats) -> Fraction:
        """The deviation of whole group sums, without float error."""
        means = [self.problem.means[members[0]] for members in self.groups]
        return find_deviation(_whole(sums), means, self.problem.shares)

    def _program(self, *, whole: bool, reach: int | None = None) -> tuple[Program, Columns, Columns, Columns]:
        """A program with the counts per cell, their sums per group, and each difficulty's tokens over its share.

        Counts and sums are differences from `base`: beside large numbers its tolerances would blur a question.
        """
        program = Program()
        lower, upper = self.lower - self.base, self.upper - self.base
        cells = program.add_columns(lower.shape, lower, upper, whole=False)
        sums = program.add_columns(self.means.shape, self._sums(lower), self._sums(upper), whole=whole)
        over = program.add_columns(self.shares.shape, 0.0, np.inf, whole=False)
        for row, missing in zip(cells, self.totals - self.base.sum(axis=1), strict=True):
            program.add_row(row, 1.0, missing, missing)
        for group, members in zip(sums, self.groups, strict=True):
            for k, column in enumerate(group):
                program.add_row([*cells[members, k], column], [*([1.0] * len(members)), -1.0], 0.0, 0.0)
        for k, excess in enumerate(find_excess(_whole(self.base), self.problem.means, self.problem.shares)):
            weights = self.means / self.unit * ((np.arange(len(self.shares)) == k) - self.shares[k])
            program.add_row([*sums.ravel(), over[k]], [*weights.ravel(), -1.0], -np.inf, -float(excess) / self.unit)
        if reach is not None:
            for column, middle in zip(sums.ravel(), self._sums(self.reference - self.base).ravel(), strict=True):
                program.add_row([column], 1.0, np.floor(middle) - reach, np.ceil(middle) + reach)
        return program, cells, sums, over

    def _give_way(self) -> Floats:
        """The fractional counts closest to the shares over the whole mix, and of those the nearest to the ideal."""
        tokens = (self._sums(self.reference) * self.means).sum(axis=0)
        if np.abs(tokens - self.shares * tokens.sum()).sum() <= self.equal:
            return self.reference
        program, _, _, over = self._program(whole=False)
        # Tokens over the shares equal those under them: half of the deviation.
        program.set_cost(over, 2.0)
        solution = program.solve()
        if solution is None:
            return self.reference
        near = self.stay_near(limit=float(2 * solution[over].sum()) * self.unit + self.equal, sums=None, whole=False)
        return self.reference if near is None else near

    def _find_sums(self, reach: int | None, nodes: int) -> Floats | None:
        """Whole group sums whose split is closest to the shares, if `reach` is set no further than that away."""
        program, _, sums, over = self._program(whole=True, reach=reach)
        base = self._sums(self.base)
        for group, counts in self._held().items():
            for column, value in zip(sums[group], counts - base[group], strict=True):
                program.add_row([column], 1.0, value, value)
        program.set_cost(over, 2.0)
        solution = program.solve(gap=self.equal / self.unit, nodes=nodes)
        return None if solution is None else np.rint(solution[sums] + base)

    def stay_near(self, *, limit: float | None, sums: Floats | None, whole: bool = True) -> Floats | None:
        """The counts nearest to the reference with no larger deviation than `limit`, or with the given group sums.

        First the farthest cell counts, as a part of its domain, so that no domain gives way alone; then all of them.
        """
        program, cells, columns, over = self._program(whole=whole)
        if limit is not None:
            program.add_row(over, 2.0, -np.inf, limit / self.unit)
        if sums is not None:
            for column, value in zip(columns.ravel(), (sums - self._sums(self.base)).ravel(), strict=True):
                program.add_row([column], 1.0, value, value)
        away = program.add_columns(cells.shape, 0.0, np.inf, whole=False)
        largest = float(np.maximum(self.totals.max(), 1.0))
        farthest = program.add_columns((1,), 0.0, np.inf, whole=False)
        for (d, k), middle in np.ndenumerate(self.reference - self.base):
            program.add_row([cells[d, k], away[d, k]], [1.0, -1.0], -np.inf, middle)
            program.add_row([cells[d, k], away[d, k]], [1.0, 1.0], middle, np.inf)
            program.add_row(
                [away[d, k], farthest[0]], [1.0, -float(np.maximum(self.totals[d], 1.0)) / largest], -np.inf, 0.0
            )
        program.set_cost(away, 1.0)
        program.set_cost(farthest, self.totals.sum() / largest)
        solution = program.solve(nodes=_NODES_NEAR)
        return None if solution is None else solution[cells] + self.base

    def _round(self, near: Floats | None) -> Counts | None:
        """Whole counts beside the fractional ones that keep the totals and the sums of the groups."""
        if near is None:
            return None
        program = Program()
        base = np.clip(np.floor(near + SNAP), self.lower, self.upper)
        rest = np.clip(near - base, 0.0, 1.0)
        order = np.outer(np.linspace(0.0, 1.0, base.shape[0]), np.linspace(0.0, 1.0, base.shape[1]))
        up = program.add_columns(base.shape, 0.0, np.minimum(1.0, self.upper - base), whole=True)
        more = program.add_columns(base.shape, 0.0, np.maximum(0.0, self.upper - base - 1.0), whole=True)
        less = program.add_columns(base.shape, 0.0, base - self.lower, whole=True)
        program.set_cost(up, 1.0 - 2.0 * rest + _FIRST * order)
        program.set_cost(more, 4.0)
        program.set_cost(less, 4.0)
        for d, total in enumerate(self.totals):
            missing = total - base[d].sum()
            program.add_row(
                [*up[d], *more[d], *less[d]], np.repeat([1.0, 1.0, -1.0], len(self.shares)), missing, missing
            )
        for members in self.groups:
            wanted = np.rint(near[members].sum(axis=0)) - base[members].sum(axis=0)
            for k, missing in enumerate(wanted):
                columns = [*up[members, k], *more[members, k], *less[members, k]]
                program.add_row(columns, np.repeat([1.0, 1.0, -1.0], len(members)), missing, missing)
        solution = program.solve()
        if solution is None:
            return None
        return _whole(base + solution[up] + solution[more] - solution[less])


def _whole(counts: Floats) -> Counts:
    return tuple(tuple(int(count) for count in row) for row in np.rint(counts))


def _round_plainly(problem: Problem, reference: Floats) -> Counts:
    """Each domain by itself: everything down, then the largest remainders up until the total is met."""
    rows: list[tuple[int, ...]] = []
    for total, shares_row, lower in zip(problem.totals, reference, problem.lower, strict=True):
        counts = [max(least, int(np.floor(value))) for value, least in zip(shares_row, lower, strict=True)]
        by_rest = sorted(range(len(counts)), key=lambda k: float(counts[k] - shares_row[k]))
        for step in range(total - sum(counts)):
            counts[by_rest[step % len(counts)]] += 1
        rows.append(tuple(counts))
    return tuple(rows)
