from datetime import UTC, datetime

import pytest

from shared.llm.headers import read_anthropic_rate, read_openai_rate, read_retry_after
from shared.llm.provider import RateHeaders

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "20", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1e99"}, 86_400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 12:15:00 GMT"}, 900.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        # FAULTS 12: our clock is an hour ahead, or an hour behind; the server's decides.
        ({"retry-after": "Sun, 22 Nov 2026 11:00:30 GMT", "date": "Sun, 22 Nov 2026 11:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 13:00:30 GMT", "date": "Sun, 22 Nov 2026 13:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:15:00 GMT", "date": "today"}, 900.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, NOW) == seconds


def test_headers_that_say_nothing_are_no_limits() -> None:
    assert read_openai_rate({}) is None
    assert read_anthropic_rate({}) is None
    assert read_openai_rate({"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "x"}) is None


def test_limit_of_one_kind_leaves_the_other_unsaid() -> None:
    headers = {"x-ratelimit-limit-tokens": "30000", "x-ratelimit-remaining-tokens": "0"}
    assert read_openai_rate(headers) == RateHeaders(limit_tokens=30000, remaining_tokens=0)


def test_anthropic_total_wins_over_its_parts() -> None:
    prefix = "anthropic-ratelimit-"
    headers = {f"{prefix}tokens-limit": "90", f"{prefix}tokens-remaining": "80", f"{prefix}output-tokens-limit": "10"}
    assert read_anthropic_rate(headers) == RateHeaders(limit_tokens=90, remaining_tokens=80)
