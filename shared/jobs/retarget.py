"""When a job follows another plan than before. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from shared.database.states import Stage
from shared.jobs.actions import Retarget
from shared.jobs.decide_later import due_of, missing_of
from shared.jobs.observed import Observed
from shared.planning.measured import Measured, replan


def find_retarget(observed: Observed) -> Retarget | None:
    """Other targets, when measured means or what is left ask for them; None when the plan stands."""
    if observed.follows:
        return _follow(observed)
    balance = observed.balance
    if balance is None:
        return None
    measured = {
        status.cell: Measured(
            status.target, status.selected, status.prompt_tokens, status.answered, status.completion_tokens
        )
        for status in observed.cells
    }
    better = replan(
        balance.mix, measured, balance.have, balance.surplus, plans=balance.plans, is_full=_is_full(observed)
    )
    if better is None:
        return None
    means = {each.cell: each.mean_tokens for each in better.plan.cells}
    reason = (
        f"by measured means the tokens would be split {_shares(better.shares_before)}, now {_shares(better.shares)}"
    )
    return Retarget({each.cell: each.target for each in better.plan.cells}, means, reason)


def _is_full(observed: Observed) -> bool:
    """Whether nothing more comes that would change the split."""
    generating = any(each.open_batches or missing_of(each) for each in observed.cells)
    return not generating and not any(
        due_of(each, Stage.ANSWER) for each in observed.cells if each.of_stage(Stage.ANSWER) is not None
    )


def _shares(shares: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{name} {share:.3%}" for name, share in shares.items())


def _follow(observed: Observed) -> Retarget | None:
    """A job on what is there, with no mix of its own, asks for as many as have passed."""
    targets = {status.cell: status.selected + status.reserve for status in observed.cells}
    lost = sum(max(0, status.target - targets[status.cell]) for status in observed.cells)
    # What a stopped stage is not done with stays so.
    busy = observed.open_batches or any(
        due_of(each, its.stage) and not each.is_stopped(its.stage) for each in observed.cells for its in each.later
    )
    if not lost or busy:
        return None
    lower = {status.cell: min(status.target, targets[status.cell]) for status in observed.cells}
    return Retarget(lower, {}, f"{lost:,} questions were rejected or taken out, and this job does not generate")
