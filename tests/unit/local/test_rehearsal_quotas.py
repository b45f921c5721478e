import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.rehearsal.openai_wire import format_duration
from local.rehearsal.quotas import Kind, Quota, Quotas


def test_burst_then_the_rate() -> None:
    quotas = Quotas(Quota(requests_per_minute=60, tokens_per_minute=1e9, burst_seconds=5))
    cost = {Kind.REQUESTS: 1.0}
    assert [quotas.try_take("openai", "m", cost, 100.0) for _ in range(5)] == [0.0] * 5
    assert quotas.try_take("openai", "m", cost, 100.0) == pytest.approx(1.0)
    assert quotas.try_take("openai", "m", cost, 101.0) == 0.0
    assert quotas.try_take("openai", "m", cost, 101.0) > 0


def test_refused_request_takes_nothing() -> None:
    quotas = Quotas(Quota(requests_per_minute=60, tokens_per_minute=600, burst_seconds=60))
    assert quotas.try_take("openai", "m", {Kind.REQUESTS: 1, Kind.TOKENS: 600}, 0.0) == 0.0
    before = quotas.states("openai", "m", 0.0)
    assert quotas.try_take("openai", "m", {Kind.REQUESTS: 1, Kind.TOKENS: 100}, 0.0) == pytest.approx(10.0)
    assert quotas.states("openai", "m", 0.0) == before


def test_settlement_gives_back_and_goes_into_debt() -> None:
    quotas = Quotas(Quota(requests_per_minute=60, tokens_per_minute=600, burst_seconds=60))
    quotas.try_take("a", "m", {Kind.TOKENS: 500}, 0.0)
    quotas.settle("a", "m", {Kind.TOKENS: -200}, 0.0)
    assert quotas.states("a", "m", 0.0)[Kind.TOKENS].remaining == 300
    quotas.settle("a", "m", {Kind.TOKENS: 400}, 0.0)
    assert quotas.states("a", "m", 0.0)[Kind.TOKENS].remaining == 0
    assert quotas.try_take("a", "m", {Kind.TOKENS: 50}, 0.0) == pytest.approx(15.0)


def test_models_have_quotas_of_their_own() -> None:
    quotas = Quotas(Quota(requests_per_minute=1, tokens_per_minute=600))
    assert quotas.try_take("a", "m", {Kind.REQUESTS: 1}, 0.0) == 0.0
    assert quotas.try_take("a", "n", {Kind.REQUESTS: 1}, 0.0) == 0.0
    assert quotas.try_take("b", "m", {Kind.REQUESTS: 1}, 0.0) == 0.0
    assert quotas.try_take("a", "m", {Kind.REQUESTS: 1}, 0.0) > 0


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 400)), max_size=60),
    per_minute=st.integers(60, 6000),
    burst=st.floats(1, 60),
)
def test_never_more_than_burst_and_rate(steps: list[tuple[float, int]], per_minute: int, burst: float) -> None:
    quotas = Quotas(Quota(requests_per_minute=1e9, tokens_per_minute=per_minute, burst_seconds=burst))
    now, taken = 0.0, 0.0
    capacity = max(per_minute * burst / 60, 1.0)
    for pause, cost in steps:
        now += pause
        if quotas.try_take("a", "m", {Kind.TOKENS: cost}, now) == 0.0:
            taken += cost
            # A request larger than the whole bucket passes when the bucket is full, and leaves it in debt.
            assert taken <= capacity + now * per_minute / 60 + max(cost - capacity, 0) + 1e-6


@given(cost=st.integers(1, 500))
def test_after_the_wait_it_fits(cost: int) -> None:
    quotas = Quotas(Quota(requests_per_minute=60, tokens_per_minute=600))
    quotas.try_take("a", "m", {Kind.TOKENS: 600}, 0.0)
    wait = quotas.try_take("a", "m", {Kind.TOKENS: cost}, 0.0)
    assert quotas.try_take("a", "m", {Kind.TOKENS: cost}, wait + 1e-6) == 0.0


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_quota_of_nothing_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Quota(requests_per_minute=wrong)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0165, "17ms"), (1.2, "1.2s"), (360.0, "6m0s"), (3723.0, "1h2m3s"), (0, "0ms")]
)
def test_durations_as_openai_writes_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
