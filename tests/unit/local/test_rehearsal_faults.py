from collections import Counter
from random import Random

import pytest

from local.rehearsal.faults import PRESETS, Fault, FaultPlan, check_shares, parse_faults, to_script


def test_shares_are_met() -> None:
    plan = FaultPlan(parse_faults("429=0.1, cut=0.05,503=0.02"))
    random = Random(7)
    drawn = Counter(plan.draw(random) for _ in range(20_000))
    assert drawn[Fault.RATE_LIMITED] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert drawn[Fault.CUT] / 20_000 == pytest.approx(0.05, abs=0.008)
    assert drawn[Fault.OVERLOADED] / 20_000 == pytest.approx(0.02, abs=0.005)
    assert set(drawn) == {Fault.RATE_LIMITED, Fault.CUT, Fault.OVERLOADED, None}


def test_presets() -> None:
    assert parse_faults("none") == parse_faults("") == {}
    demo = parse_faults("demo")
    assert sum(demo.values()) == pytest.approx(0.06, abs=0.01)
    assert not {Fault.QUOTA, Fault.TIMEOUT} & set(demo)
    assert "demo" in PRESETS


def test_script_comes_before_the_shares() -> None:
    plan = FaultPlan({Fault.CUT: 1.0}, next=to_script(["429", "ok", "latex"]))
    assert [plan.draw(Random(1)) for _ in range(4)] == [Fault.RATE_LIMITED, None, Fault.LATEX, Fault.CUT]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lightning=0.1", "unknown fault 'lightning'"),
        ("cut", "neither a preset"),
        ("cut=lots", "not a number"),
        ("cut=0.6,500=0.6", "between 0 and 1"),
        ("cut=-0.1", "between 0 and 1"),
    ],
)
def test_wrong_shares_are_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_faults(text)


def test_nan_is_no_share() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        check_shares({"cut": float("nan")})
