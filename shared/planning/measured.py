"""The closed loop: measured means take the place of those that the mix assumes, and the plan follows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.planning.balance import Plan, make_plan
from shared.planning.mix import Cell, Measure, Mix, Surplus

# So many imagined questions stand for what is assumed: of a difficulty for the mix, of a cell for its difficulty.
PRIOR_QUESTIONS = 20
# A plan is made again when the split it leads to is further from the shares than this part of all tokens (0.03 points,
# less than a third of what is promised), and kept when a new one would not halve that.
WORTH_REPLANNING = Decimal("0.0003")
WORTH_CHANGING = Decimal("0.5")
# A split that whole questions cannot bring nearer would be planned for again and again.
MOST_PLANS = 500
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
    mix: Mix, measured: Mapping[Cell, Measured], have: Mapping[Cell, int], surplus: Surplus, *, plans: int
) -> Replanned | None:
    """A plan that comes clearly closer to the shares than the targets that are followed; None when there is none.

    `have` is what was there when the job began, `plans` how many plans it has had.
    """
    if plans >= MOST_PLANS:
        return None
    means = measured_means(mix, measured)
    targets = {cell: each.target for cell, each in measured.items()}
    before = token_shares(mix, targets, means)
    off = _deviation(mix, before)
    if off <= WORTH_REPLANNING:
        return None
    own: dict[str, dict[str, Decimal]] = {}
    for cell, mean in means.items():
        own.setdefault(cell.domain, {})[cell.difficulty] = mean
    plan = make_plan(replace(mix, mean_tokens=own), have, surplus)
    planned = {each.cell: each.target for each in plan.cells}
    after = token_shares(mix, planned, means)
    if planned == targets or _deviation(mix, after) > WORTH_CHANGING * off:
        return None
    return Replanned(plan, after, before)


def measured_means(mix: Mix, measured: Mapping[Cell, Measured]) -> dict[Cell, Decimal]:
    """Tokens of one question of each cell, as `mix.measure` counts them.

    A full cell's are its own. While rows are missing, few rows of a cell are pulled towards the mean of its difficulty,
    and few rows of a difficulty towards what the mix says.
    """
    means: dict[Cell, Decimal] = {}
    for cell in mix.cells():
        alike = [each for other, each in measured.items() if other.difficulty == cell.difficulty]
        total = Decimal(0)
        for part in _parts(mix.measure):
            of_difficulty = _pulled([_tokens(each, part) for each in alike], _assumed(mix, cell, part))
            tokens, rows = _tokens(measured[cell], part)
            is_full = rows > 0 and rows >= measured[cell].target
            total += Decimal(tokens) / rows if is_full else _pulled([(tokens, rows)], of_difficulty)
        means[cell] = max(MEAN_STEP, total.quantize(MEAN_STEP))
    return means


def _pulled(counted: Sequence[tuple[int, int]], towards: Decimal) -> Decimal:
    """The mean of what was counted, as (tokens, rows), pulled towards what is assumed."""
    tokens, rows = sum(tokens for tokens, _ in counted), sum(rows for _, rows in counted)
    return (tokens + PRIOR_QUESTIONS * towards) / (rows + PRIOR_QUESTIONS)


def _assumed(mix: Mix, cell: Cell, part: Measure) -> Decimal:
    if mix.measure is not Measure.TOTAL:
        return mix.mean_of(cell)
    of_answer = mix.answer_tokens[cell.difficulty]
    return of_answer if part is Measure.COMPLETION else mix.mean_of(cell) - of_answer


def token_shares(mix: Mix, targets: Mapping[Cell, int], means: Mapping[Cell, Decimal]) -> dict[str, Decimal]:
    """The share of all tokens that each difficulty gets with these targets."""
    tokens = dict.fromkeys(mix.difficulties, Decimal(0))
    for cell, target in targets.items():
        tokens[cell.difficulty] += target * means[cell]
    whole = sum(tokens.values()) or Decimal(1)
    return {difficulty: part / whole for difficulty, part in tokens.items()}


def _deviation(mix: Mix, shares: Mapping[str, Decimal]) -> Decimal:
    """The largest distance of a share from what was asked for."""
    return max(abs(shares[name] - each.token_share) for name, each in mix.difficulties.items())


def _parts(measure: Measure) -> tuple[Measure, ...]:
    return (Measure.PROMPT, Measure.COMPLETION) if measure is Measure.TOTAL else (measure,)


def _tokens(each: Measured, part: Measure) -> tuple[int, int]:
    """Tokens, and the rows that they were counted on."""
    if part is Measure.PROMPT:
        return each.prompt_tokens, each.questions
    return each.completion_tokens, each.answered
