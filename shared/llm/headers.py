"""What the headers of a reply say: how long to wait, and the provider's limits."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from shared.llm.provider import RateHeaders

MAX_RETRY_AFTER_SECONDS = 86_400.0


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, from `retry-after-ms` (OpenAI) or `retry-after` (seconds or a date, RFC 9110 10.2.3).

    A date counts from the reply's own `date`, since our clock may be wrong (FAULTS 12). Never more than a day; None
    when there is no such header, or nonsense in it.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after")
    if value is None:
        return None
    if (seconds := _number(value)) is not None:
        return _bounded(seconds)
    until = _date(value)
    if until is None:
        return None
    since = _date(headers.get("date")) or now or datetime.now(UTC)
    return _bounded((until - since).total_seconds())


def read_openai_rate(headers: Mapping[str, str]) -> RateHeaders | None:
    """`x-ratelimit-*`, per minute."""
    return _rate(
        limit_requests=_count(headers.get("x-ratelimit-limit-requests")),
        limit_tokens=_count(headers.get("x-ratelimit-limit-tokens")),
        remaining_requests=_count(headers.get("x-ratelimit-remaining-requests")),
        remaining_tokens=_count(headers.get("x-ratelimit-remaining-tokens")),
    )


def read_anthropic_rate(headers: Mapping[str, str]) -> RateHeaders | None:
    """`anthropic-ratelimit-*`, per minute.

    Where only input and output tokens are limited apart, the smaller limit is taken for their sum: safe, and at most
    a little slow, since nearly all tokens of a list of questions are output.
    """
    prefix = "anthropic-ratelimit-"
    limit_tokens = _count(headers.get(f"{prefix}tokens-limit"))
    remaining_tokens = _count(headers.get(f"{prefix}tokens-remaining"))
    if limit_tokens is None:
        limit_tokens = _smaller(headers, f"{prefix}input-tokens-limit", f"{prefix}output-tokens-limit")
        remaining_tokens = _smaller(headers, f"{prefix}input-tokens-remaining", f"{prefix}output-tokens-remaining")
    return _rate(
        limit_requests=_count(headers.get(f"{prefix}requests-limit")),
        limit_tokens=limit_tokens,
        remaining_requests=_count(headers.get(f"{prefix}requests-remaining")),
        remaining_tokens=remaining_tokens,
    )


def _rate(
    *,
    limit_requests: int | None,
    limit_tokens: int | None,
    remaining_requests: int | None,
    remaining_tokens: int | None,
) -> RateHeaders | None:
    limit_requests, limit_tokens = limit_requests or None, limit_tokens or None  # a limit of 0 is no limit to learn
    if limit_requests is None and limit_tokens is None:
        return None
    return RateHeaders(limit_requests, limit_tokens, remaining_requests, remaining_tokens)


def _smaller(headers: Mapping[str, str], *names: str) -> int | None:
    return min((count for name in names if (count := _count(headers.get(name))) is not None), default=None)


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _count(value: str | None) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 0 else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
