from dataclasses import replace
from decimal import Decimal

import pytest

from shared.corpus.stages import Slot, StageTerms
from shared.database.states import BatchState, JobState, Stage
from shared.ids import new_batch_id
from shared.jobs.actions import Fail, Retarget, StopCell, Succeed
from shared.jobs.decide import decide
from shared.jobs.observed import Balance, CellStatus, Observed, OpenBatch, StageStatus
from shared.jobs.retarget import find_retarget
from shared.planning.balance import make_plan
from shared.planning.mix import Difficulty, Means, Measure, Mix, Surplus
from tests.unit.jobs.test_decide import EASY, HARD, LIMITS, observed, status

SHARES = {
    "easy": Difficulty(Decimal("0.6"), Decimal(15)),
    "hard": Difficulty(Decimal("0.4"), Decimal(750)),
}
MIX = Mix({"math": 60_000}, SHARES, means=Means.MEASURED)
BALANCE = Balance(MIX, Surplus.SUBSAMPLE, {}, plans=1)
ANSWER = StageTerms(Stage.ANSWER, 10, (Slot("openai/x", 0),), tries=3)
VALIDATE = StageTerms(Stage.VALIDATE, 20, (Slot("openai/x", 0),), tries=3)


def filled(easy_tokens: int, hard_tokens: int, balance: Balance = BALANCE) -> Observed:
    """A job that has all the questions of its first plan, of these lengths."""
    cells = []
    for each in make_plan(balance.mix, {}, Surplus.SUBSAMPLE).cells:
        tokens = each.target * (easy_tokens if each.cell == EASY else hard_tokens)
        cells.append(status(each.cell, each.target, selected=each.target, prompt_tokens=tokens))
    return replace(observed(*cells), balance=balance)


def test_other_lengths_than_assumed_lead_to_other_targets_with_the_same_total() -> None:
    retarget = find_retarget(filled(22, 610))
    assert retarget is not None
    assert sum(retarget.targets.values()) == 60_000
    tokens = {EASY: retarget.targets[EASY] * 22, HARD: retarget.targets[HARD] * 610}
    assert tokens[HARD] / sum(tokens.values()) == pytest.approx(0.4, abs=0.001)
    assert retarget.means == {EASY: 22, HARD: 610}
    assert "easy 73.021%" in retarget.reason


def test_lengths_as_assumed_a_fixed_mix_and_many_plans_change_nothing() -> None:
    assert find_retarget(filled(15, 750)) is None
    assert find_retarget(replace(filled(22, 610), balance=None)) is None
    assert find_retarget(filled(22, 610, replace(BALANCE, plans=10_000))) is None


def test_a_job_that_is_full_is_judged_by_its_rows_alone_and_one_that_is_not_more_leniently() -> None:
    # A fifth of a point off: good enough while questions come, not in the end.
    full = filled(15, 755)
    [easy, hard] = full.cells
    assert find_retarget(full) is not None
    coming = replace(full, cells=(replace(easy, open_batches=1), hard))
    assert find_retarget(coming) is None


def test_answers_that_are_still_to_come_may_change_the_split() -> None:
    mix = replace(MIX, measure=Measure.COMPLETION)
    full = filled(15, 750, replace(BALANCE, mix=mix))
    answering = StageStatus(ANSWER)
    half_answered = tuple(
        replace(each, later=(answering,), answered=each.selected // 2, completion_tokens=each.selected // 2 * length)
        for each, length in zip(full.cells, (15, 752), strict=True)
    )
    assert find_retarget(replace(full, cells=half_answered)) is None


def test_a_new_plan_comes_before_new_batches_and_a_paused_job_keeps_its_own() -> None:
    off = filled(22, 610)
    assert [type(each) for each in decide(off, LIMITS)] == [Retarget]
    assert decide(replace(off, state=JobState.PAUSED), LIMITS) == []


def following(*cells: CellStatus, batches: tuple[OpenBatch, ...] = ()) -> Observed:
    return replace(observed(*cells, batches=batches), follows=True)


def judged(target: int, *, selected: int, validated: int, reserve: int = 0) -> CellStatus:
    return status(
        EASY,
        target,
        selected=selected,
        reserve=reserve,
        validated=validated,
        generates=False,
        later=(StageStatus(VALIDATE, judged=target, passed=validated),),
    )


def test_a_job_that_follows_what_is_there_asks_for_as_many_as_have_passed() -> None:
    lost = judged(100, selected=93, validated=93)
    retarget = find_retarget(following(lost, status(HARD, 10, selected=10, generates=False)))
    assert retarget is not None
    assert retarget.targets == {EASY: 93, HARD: 10}
    assert "7 questions were rejected or taken out" in retarget.reason
    assert decide(following(replace(lost, target=93)), LIMITS) == [Succeed()]


def test_it_waits_until_all_are_judged_and_nobody_works() -> None:
    assert find_retarget(following(judged(100, selected=93, validated=92))) is None
    batch = OpenBatch(new_batch_id(), EASY, Stage.VALIDATE, 1, BatchState.LEASED, attempts=1)
    assert find_retarget(following(judged(100, selected=93, validated=93), batches=(batch,))) is None


def test_a_cell_that_was_stopped_keeps_no_other_from_its_end() -> None:
    stuck = judged(400, selected=390, validated=2)
    stopped = replace(stuck, stopped="validate: 0 passed", stopped_stage=Stage.VALIDATE)
    lost = replace(judged(100, selected=93, validated=93), cell=HARD)
    retarget = find_retarget(following(stopped, lost))
    assert retarget is not None
    [fail] = decide(following(replace(stopped, target=390), replace(lost, target=93)), LIMITS)
    assert isinstance(fail, Fail)
    assert "validate: 0 passed" in fail.reason


def test_what_the_reserve_makes_up_for_is_not_lost() -> None:
    assert find_retarget(following(judged(100, selected=95, validated=95, reserve=5))) is None


def test_a_job_with_a_mix_of_its_own_that_does_not_generate_stops_instead() -> None:
    lost = judged(100, selected=93, validated=93)
    [stop] = decide(observed(lost), LIMITS)
    assert isinstance(stop, StopCell)
    assert "does not generate" in stop.reason
