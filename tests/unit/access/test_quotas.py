from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.quotas import QuotaExceeded, Quotas, Usage, check_quotas

dollars = st.decimals(min_value=0, max_value=10**7, places=4, allow_nan=False)
usages = st.builds(Usage, st.integers(0, 1000), st.integers(0, 10**9), dollars)
quotas = st.builds(Quotas, st.none() | st.integers(0, 1000), st.none() | st.integers(0, 10**9), st.none() | dollars)


def fits(limits: Quotas, used: Usage, asked: Usage) -> bool:
    try:
        check_quotas("ci", limits, used, asked)
    except QuotaExceeded:
        return False
    return True


@given(quotas, usages, usages)
def test_what_fits_leaves_every_sum_within_its_quota(limits: Quotas, used: Usage, asked: Usage) -> None:
    sums = (
        (limits.open_jobs, used.open_jobs, asked.open_jobs),
        (limits.questions, used.questions, asked.questions),
        (limits.usd, used.usd, asked.usd),
    )
    wanted = [limit is None or more == 0 or have + more <= limit for limit, have, more in sums]
    assert fits(limits, used, asked) is all(wanted)


@given(usages, usages)
def test_without_quotas_everything_fits(used: Usage, asked: Usage) -> None:
    assert not Quotas().any
    assert fits(Quotas(), used, asked)


def test_a_quota_that_was_overdrawn_forbids_only_more() -> None:
    """As when jobs were posted before the limit, or a lower budget is asked for."""
    limits, used = Quotas(usd=Decimal(1)), Usage(usd=Decimal(2))
    assert fits(limits, used, Usage(usd=Decimal("-0.5")))
    assert fits(limits, used, Usage(open_jobs=1))
    assert not fits(limits, used, Usage(usd=Decimal("0.01")))


def test_the_refusal_names_each_quota_with_what_is_taken_and_asked() -> None:
    limits, used = Quotas(2, 1000, Decimal(5)), Usage(2, 900, Decimal("4.9999"))
    with pytest.raises(QuotaExceeded) as caught:
        check_quotas("ci", limits, used, Usage(1, 100, Decimal("1.5")))
    assert "key ci" in caught.value.detail
    assert "open jobs: 2 allowed, 2 taken, 1 more asked" in caught.value.detail
    assert "dollars: $5.00 allowed, $4.9999 taken, $1.50 more asked" in caught.value.detail
    assert "questions" not in caught.value.detail
