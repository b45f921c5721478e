import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InfeasibleMix
from shared.planning.balance import Plan, make_plan
from shared.planning.mix import Cell, Difficulty, Mix, ShareScope, Surplus
from tests.processor import takes_at_most

DOMAINS = {
    "coding": 10_000,
    "math": 10_000,
    "tool use": 10_000,
    "reasoning": 10_000,
    "reading": 5_000,
    "summarization": 5_000,
    "common sense": 5_000,
    "instruction": 5_000,
}
DIFFICULTIES = {"easy": Difficulty(Decimal("0.6"), Decimal(15)), "hard": Difficulty(Decimal("0.4"), Decimal(750))}


def seed_mix(scope: ShareScope = ShareScope.GLOBAL, **minimum: int) -> Mix:
    return Mix(DOMAINS, DIFFICULTIES, minimum=minimum, scope=scope)


@pytest.mark.parametrize("scope", ShareScope)
def test_the_seeds_mix_gives_59211_easy_and_789_hard(scope: ShareScope) -> None:
    plan = make_plan(seed_mix(scope), {}, Surplus.SUBSAMPLE)
    assert (plan.questions, plan.generate) == (60_000, 60_000)
    assert plan.by_difficulty == {"easy": 59_211, "hard": 789}
    assert plan.tokens_by_difficulty == {"easy": 888_165, "hard": 591_750}
    hard = sorted(each.target for each in plan.cells if each.cell.difficulty == "hard")
    assert hard == [66] * 4 + [131] * 3 + [132]
    for domain, total in DOMAINS.items():
        assert sum(each.target for each in plan.cells if each.cell.domain == domain) == total


@pytest.mark.parametrize("scope", ShareScope)
def test_the_seeds_mix_is_planned_in_under_100_ms(scope: ShareScope) -> None:
    with takes_at_most(0.5):
        for _ in range(5):
            make_plan(seed_mix(scope), {}, Surplus.SUBSAMPLE)


def test_the_order_of_the_keys_moves_no_question() -> None:
    domains, difficulties = dict(reversed(DOMAINS.items())), dict(reversed(DIFFICULTIES.items()))
    expected = {each.cell: each.target for each in make_plan(seed_mix(), {}, Surplus.SUBSAMPLE).cells}
    assert expected[Cell("coding", "hard")] == 132
    for turned in (Mix(domains, DIFFICULTIES), Mix(DOMAINS, difficulties), Mix(domains, difficulties)):
        plan = make_plan(turned, {}, Surplus.SUBSAMPLE)
        assert {each.cell: each.target for each in plan.cells} == expected
        assert [each.cell for each in plan.cells] == list(turned.cells())


def test_subsample_selects_the_target_and_counts_the_rest_as_surplus() -> None:
    have = {Cell("coding", "easy"): 2_537, Cell("coding", "hard"): 4_913, Cell("law", "hard"): 7}
    plan = make_plan(seed_mix(), have, Surplus.SUBSAMPLE)
    cells = {each.cell: each for each in plan.cells}
    easy, hard = cells[Cell("coding", "easy")], cells[Cell("coding", "hard")]
    assert (easy.have, easy.selected, easy.generate, easy.surplus) == (2_537, 2_537, easy.target - 2_537, 0)
    assert (hard.have, hard.selected, hard.generate, hard.surplus) == (4_913, hard.target, 0, 4_913 - hard.target)
    assert plan.by_difficulty == {"easy": 59_211, "hard": 789}
    assert plan.generate == 60_000 - 2_537 - hard.target
    assert Cell("law", "hard") not in cells


def test_keep_never_drops_an_existing_question_and_the_other_domains_give_way() -> None:
    have = {Cell("coding", "hard"): 400, Cell("coding", "easy"): 100}
    plan = make_plan(seed_mix(), have, Surplus.KEEP)
    cells = {each.cell: each for each in plan.cells}
    assert all(each.surplus == 0 for each in plan.cells)
    assert cells[Cell("coding", "hard")].target == 400
    assert plan.by_difficulty == {"easy": 59_211, "hard": 789}
    assert cells[Cell("math", "hard")].target < 131


def test_keep_in_scope_domain_leaves_the_other_domains_their_own_shares() -> None:
    plan = make_plan(seed_mix(ShareScope.DOMAIN), {Cell("coding", "hard"): 400}, Surplus.KEEP)
    hard = {each.cell.domain: each.target for each in plan.cells if each.cell.difficulty == "hard"}
    assert hard["coding"] == 400
    assert hard["math"] in {131, 132}
    assert hard["reading"] in {65, 66}


def test_a_minimum_holds_in_each_domain() -> None:
    plan = make_plan(seed_mix(hard=100), {}, Surplus.SUBSAMPLE)
    hard = [each.target for each in plan.cells if each.cell.difficulty == "hard"]
    assert hard == [100] * 8


def test_minimums_beyond_a_total_are_refused_with_the_domain_and_the_numbers() -> None:
    mix = Mix({"math": 100, "coding": 30}, DIFFICULTIES, minimum={"easy": 60, "hard": 40})
    with pytest.raises(InfeasibleMix) as caught:
        make_plan(mix, {}, Surplus.SUBSAMPLE)
    assert caught.value.detail.startswith(
        "coding: the minimums add up to 100 (60 easy, 40 hard), more than its total of 30;"
    )
    assert [error.loc for error in caught.value.errors] == ["mix.domains.coding"]


def test_existing_questions_beyond_a_total_are_refused_with_the_numbers_unless_subsampled() -> None:
    mix = Mix({"math": 1_000, "coding": 1_000}, DIFFICULTIES)
    have = {Cell("math", "easy"): 900, Cell("math", "hard"): 1_100}
    with pytest.raises(InfeasibleMix, match=r"math: it has 2,000 \(900 easy, 1,100 hard\) existing .* total of 1,000"):
        make_plan(mix, have, Surplus.KEEP)
    assert make_plan(mix, have, Surplus.SUBSAMPLE).questions == 2_000


def test_existing_questions_and_minimums_that_only_together_exceed_a_total_are_refused() -> None:
    mix = Mix({"math": 100}, DIFFICULTIES, minimum={"hard": 40})
    with pytest.raises(
        InfeasibleMix, match=r"math: existing questions and minimums together need 130 \(90 easy, 40 hard\)"
    ):
        make_plan(mix, {Cell("math", "easy"): 90}, Surplus.KEEP)


def test_every_infeasible_domain_is_named() -> None:
    mix = Mix({"math": 1, "coding": 2, "law": 100}, DIFFICULTIES, minimum={"hard": 40})
    with pytest.raises(InfeasibleMix) as caught:
        make_plan(mix, {}, Surplus.SUBSAMPLE)
    assert [error.loc for error in caught.value.errors] == ["mix.domains.math", "mix.domains.coding"]


def test_a_lower_bound_that_fills_the_total_exactly_is_feasible() -> None:
    mix = Mix({"math": 100}, DIFFICULTIES, minimum={"easy": 60, "hard": 40})
    assert make_plan(mix, {}, Surplus.SUBSAMPLE).by_difficulty == {"easy": 60, "hard": 40}


def test_no_questions_at_all_is_a_plan_too() -> None:
    plan = make_plan(Mix({"math": 0}, DIFFICULTIES), {}, Surplus.SUBSAMPLE)
    assert plan.questions == 0
    assert plan.token_shares == {"easy": 0, "hard": 0}


@settings(max_examples=40)
@given(
    totals=st.lists(st.integers(0, 400), min_size=1, max_size=4),
    have=st.lists(st.integers(0, 300), min_size=8, max_size=8),
    scope=st.sampled_from(ShareScope),
)
def test_every_plan_adds_up(totals: list[int], have: list[int], scope: ShareScope) -> None:
    mix = Mix({f"d{number}": total for number, total in enumerate(totals)}, DIFFICULTIES, scope=scope)
    existing = dict(zip(mix.cells(), have, strict=False))
    for surplus in Surplus:
        try:
            plan = make_plan(mix, existing, surplus)
        except InfeasibleMix:
            assert surplus is Surplus.KEEP
            continue
        for each in plan.cells:
            assert each.selected + each.generate == each.target
            assert each.selected + each.surplus == each.have == existing[each.cell]
            assert surplus is Surplus.SUBSAMPLE or each.surplus == 0
        for domain, total in mix.domains.items():
            assert sum(each.target for each in plan.cells if each.cell.domain == domain) == total


def test_a_plan_survives_json_in_the_shape_of_the_api() -> None:
    own = {"math": {"hard": Decimal("500.25")}}
    mix = Mix({"math": 1_000, "coding": 500}, DIFFICULTIES, mean_tokens=own)
    plan = make_plan(mix, {Cell("math", "easy"): 7}, Surplus.SUBSAMPLE)
    document = json.loads(json.dumps(plan.to_json()))
    assert Plan.from_json(document) == plan
    assert set(document["totals"]) == {
        "questions",
        "by_difficulty",
        "tokens_by_difficulty",
        "token_shares",
        "generate",
    }
    assert document["cells"][0]["domain"] == "math"
    assert document["cells"][1]["mean_tokens"] == 500.25
    assert document["totals"]["generate"] == 1_493
    assert sum(document["totals"]["token_shares"].values()) == pytest.approx(1)
