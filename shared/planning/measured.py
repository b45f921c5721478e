"""The closed loop: measured means take the place of those that the mix assumes, and the plan follows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.planning.balance import Plan, make_plan
from shared.planning.mix import Cell, Measure, Mix, ShareScope, Surplus

# So many imagined questions stand for what is assumed: of a difficulty for the mix, of a cell for its difficulty.
PRIOR_QUESTIONS = 20
# How far a split may be from the shares, as a part of all tokens: while questions still come 0.2 points, since each
# change of plan costs some; in the end 0.03, less than a third of the 0.1 that is promised.
TOLERANCE_UNDER_WAY = Decimal("0.002")
TOLERANCE_IN_THE_END = Decimal("0.0003")
# But whole questions cannot bring it nearer than half of what one of them moves; it may be a little more. Which ones
# are selected is not free, so that the same two plans may take turns: after so many it may be twice as much.
TOLERANCE_IN_QUESTIONS = Decimal("0.6")
PLANS_FOR_TWICE = 20
MOST_PLANS = 200
# A plan is made for means that all domains share; so often its means are corrected by what is known of each cell.
CORRECTIONS = 3
MEAN_STEP = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Measured:
    """The selected questions of a cell: how many, their tokens, how many are answered, and the answers' tokens."""

    target: int
    questions: int = 0
    prompt_tokens: int = 0
    answered: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Replanned:
    """A plan by measured means, the token shares that it leads to and those that the one before would have led to."""

    plan: Plan
    shares: Mapping[str, Decimal]
    shares_before: Mapping[str, Decimal]


def replan(
    mix: Mix,
    measured: Mapping[Cell, Measured],
    have: Mapping[Cell, int],
    surplus: Surplus,
    *,
    plans: int,
    is_full: bool,
) -> Replanned | None:
    """A plan that comes closer to the shares than the targets that are followed; None when those are near enough.

    `have` is what was there when the job began, `plans` how many plans it has had; `is_full` once all targets are met.
    """
    if plans >= MOST_PLANS:
        return None
    targets = {cell: each.target for cell, each in measured.items()}
    prior = 0 if is_full else PRIOR_QUESTIONS
    likely = _Outlook(mix, measured, targets, plans=plans, prior=prior, is_full=is_full)
    if (strains := likely.strains_of(targets))[0] <= 1:
        return None
    found = _Outlook(mix, measured, targets, plans=plans, prior=0, is_full=is_full)
    found_strains, before = found.strains_of(targets), likely.tokens_of(targets)
    means = dict(likely.means)
    nearest: Replanned | None = None
    for _ in range(CORRECTIONS):
        plan = _plan_with(mix, means, have, surplus)
        planned = {each.cell: each.target for each in plan.cells}
        # By what was found alone it must be nearer as well. Else a plan that was made of that, when all was there,
        # is taken back for the sake of what is assumed as soon as it asks for more, and made again, and taken back.
        if planned != targets and likely.strains_of(planned) < strains and found.strains_of(planned) < found_strains:
            after = likely.tokens_of(planned)
            nearest, strains = Replanned(plan, _shares(after), _shares(before)), likely.strains_of(planned)
        for within in likely.by_area(planned):
            means |= _corrected(means, within, likely.tokens_of(within))
    return nearest


class _Outlook:
    """What targets lead to, when `prior` imagined questions of a difficulty stand for what the mix assumes."""

    def __init__(
        self,
        mix: Mix,
        measured: Mapping[Cell, Measured],
        targets: Mapping[Cell, int],
        *,
        plans: int,
        prior: int,
        is_full: bool,
    ) -> None:
        self._mix, self._measured = mix, measured
        self.means = measured_means(mix, measured, prior=prior)
        self._of_cells = _means_of_cells(mix, measured, self.means)
        least = TOLERANCE_IN_THE_END if is_full else TOLERANCE_UNDER_WAY
        questions = TOLERANCE_IN_QUESTIONS * (1 + (Decimal(plans) / PLANS_FOR_TWICE) ** 2)
        self._tolerated = [
            max(least, questions * _part_of(self._widest(within), self.tokens_of(within)))
            for within in self.by_area(targets)
        ]

    def by_area(self, wanted: Mapping[Cell, int]) -> list[Mapping[Cell, int]]:
        """The targets of all domains together, or of each by itself: where the shares hold."""
        if self._mix.scope is not ShareScope.DOMAIN:
            return [wanted]
        areas: dict[str, dict[Cell, int]] = {domain: {} for domain in self._mix.domains}
        for cell, target in wanted.items():
            areas[cell.domain][cell] = target
        return list(areas.values())

    def tokens_of(self, wanted: Mapping[Cell, int]) -> dict[str, Decimal]:
        """The tokens of each difficulty with these targets."""
        return expected_tokens(self._mix, self._measured, wanted, self._of_cells)

    def strains_of(self, wanted: Mapping[Cell, int]) -> list[Decimal]:
        """How many times as far off as tolerated each area is, the farthest first; but for that one at least once.

        All of them: one that cannot come nearer, for what is there already, does not keep the others from it. Nor do
        others that are near enough ask for a plan after the other because it is not.
        """
        strains = (
            _deviation(self._mix, self.tokens_of(within)) / tolerated
            for within, tolerated in zip(self.by_area(wanted), self._tolerated, strict=True)
        )
        first, *rest = sorted(strains, reverse=True)
        return [first, *(max(each, Decimal(1)) for each in rest)]

    def _widest(self, within: Mapping[Cell, int]) -> Decimal:
        """How many tokens one question of the longest kind has more than one of the shortest."""
        means = [self.means[cell] for cell in within] or [Decimal(0)]
        return max(means) - min(means)


def _corrected(
    means: Mapping[Cell, Decimal], planned: Mapping[Cell, int], tokens: Mapping[str, Decimal]
) -> dict[Cell, Decimal]:
    """The means of these cells, scaled so that the plan has by them the tokens that are expected of it."""
    assumed: dict[str, Decimal] = {}
    for cell, target in planned.items():
        assumed[cell.difficulty] = assumed.get(cell.difficulty, Decimal(0)) + target * means[cell]
    return {
        cell: _bounded(means[cell] * tokens[cell.difficulty] / assumed[cell.difficulty])
        for cell in planned
        if assumed[cell.difficulty] and tokens[cell.difficulty]
    }


def _plan_with(mix: Mix, means: Mapping[Cell, Decimal], have: Mapping[Cell, int], surplus: Surplus) -> Plan:
    own: dict[str, dict[str, Decimal]] = {}
    for cell, mean in means.items():
        own.setdefault(cell.domain, {})[cell.difficulty] = mean
    return make_plan(replace(mix, mean_tokens=own), have, surplus)


def measured_means(mix: Mix, measured: Mapping[Cell, Measured], *, prior: int = PRIOR_QUESTIONS) -> dict[Cell, Decimal]:
    """Tokens of one question of each cell, as `mix.measure` counts them: what is assumed, times what was found.

    All domains share what was found of a difficulty, so that chance in one of them does not move its targets; where
    each domain keeps its own shares (`scope: domain`), each has its own. Few rows are pulled towards what is assumed,
    as if `prior` rows had been found to be so.
    """
    means: dict[Cell, Decimal] = {}
    shared = {
        (part, difficulty): _factor(
            mix, measured, [Cell(domain, difficulty) for domain in mix.domains], part, prior=prior, guess=Decimal(1)
        )
        for part in _parts(mix.measure)
        for difficulty in mix.difficulties
    }
    for cell in mix.cells():
        total = Decimal(0)
        for part in _parts(mix.measure):
            factor = shared[part, cell.difficulty]
            if mix.scope is ShareScope.DOMAIN:
                factor = _factor(mix, measured, [cell], part, prior=prior, guess=factor)
            total += _assumed(mix, cell, part) * factor
        means[cell] = _bounded(total)
    return means


def _means_of_cells(mix: Mix, measured: Mapping[Cell, Measured], means: Mapping[Cell, Decimal]) -> dict[Cell, Decimal]:
    """What the next questions of each cell are likely to have: what its own had, pulled towards the given means."""
    likely: dict[Cell, Decimal] = {}
    for cell, mean in means.items():
        counted = [_tokens(measured[cell], part) for part in _parts(mix.measure)]
        rows = min(rows for _, rows in counted)
        here = sum((Decimal(part) * rows / of for part, of in counted if of), Decimal(0)) if rows else Decimal(0)
        likely[cell] = (here + PRIOR_QUESTIONS * mean) / (rows + PRIOR_QUESTIONS)
    return likely


def _bounded(mean: Decimal) -> Decimal:
    return max(MEAN_STEP, mean.quantize(MEAN_STEP))


def expected_tokens(
    mix: Mix, measured: Mapping[Cell, Measured], targets: Mapping[Cell, int], means: Mapping[Cell, Decimal]
) -> dict[str, Decimal]:
    """The tokens of each difficulty with these targets: those that are there, and of those to come the mean.

    Of a cell with more than its target a part goes, and takes as large a part of the tokens along.
    """
    tokens = dict.fromkeys(mix.difficulties, Decimal(0))
    for cell, target in targets.items():
        counted = [_tokens(measured[cell], part) for part in _parts(mix.measure)]
        rows = min(rows for _, rows in counted)
        here = sum((Decimal(part) * rows / of for part, of in counted if of), Decimal(0))
        if rows > target:
            tokens[cell.difficulty] += here * target / rows
        else:
            tokens[cell.difficulty] += here + (target - rows) * means[cell]
    return tokens


def _factor(
    mix: Mix, measured: Mapping[Cell, Measured], cells: Sequence[Cell], part: Measure, *, prior: int, guess: Decimal
) -> Decimal:
    """How many times as long as assumed the questions of these cells are, `prior` of them taken to be as guessed."""
    found = expected = mean = Decimal(0)
    for cell in cells:
        tokens, rows = _tokens(measured[cell], part)
        found += tokens
        expected += rows * _assumed(mix, cell, part)
        mean += _assumed(mix, cell, part) / len(cells)
    if not expected and not prior:
        return guess
    return (found + prior * mean * guess) / (expected + prior * mean)


def _assumed(mix: Mix, cell: Cell, part: Measure) -> Decimal:
    if mix.measure is not Measure.TOTAL:
        return mix.mean_of(cell)
    of_answer = mix.answer_tokens[cell.difficulty]
    return of_answer if part is Measure.COMPLETION else mix.mean_of(cell) - of_answer


def _part_of(moved: Decimal, tokens: Mapping[str, Decimal]) -> Decimal:
    """The part of all tokens that so many are."""
    return moved / (sum(tokens.values()) or Decimal(1))


def _shares(tokens: Mapping[str, Decimal]) -> dict[str, Decimal]:
    whole = sum(tokens.values()) or Decimal(1)
    return {difficulty: part / whole for difficulty, part in tokens.items()}


def _deviation(mix: Mix, tokens: Mapping[str, Decimal]) -> Decimal:
    """The largest distance of a share from what was asked for."""
    shares = _shares(tokens)
    return max(abs(shares[name] - each.token_share) for name, each in mix.difficulties.items())


def _parts(measure: Measure) -> tuple[Measure, ...]:
    return (Measure.PROMPT, Measure.COMPLETION) if measure is Measure.TOTAL else (measure,)


def _tokens(each: Measured, part: Measure) -> tuple[int, int]:
    """Tokens, and the rows that they were counted on."""
    if part is Measure.PROMPT:
        return each.prompt_tokens, each.questions
    return each.completion_tokens, each.answered
