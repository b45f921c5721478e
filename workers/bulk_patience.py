"""How long a provider is left alone that takes no bulk submissions."""

import asyncio
from collections import Counter

from shared.llm.bulk import BulkProblem

LONGEST_SECONDS = 1800.0


class Patience:
    """Waits grow twofold from `base_seconds` with each problem in a row, and are never shorter than Retry-After."""

    def __init__(self, base_seconds: float) -> None:
        self._base_seconds = base_seconds
        self._problems: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}

    def is_waiting(self, provider: str) -> bool:
        """Whether nothing is submitted to it yet."""
        return asyncio.get_running_loop().time() < self._not_before.get(provider, 0.0)

    def note(self, provider: str, problem: BulkProblem) -> None:
        """It said no, or nothing."""
        wait = min(LONGEST_SECONDS, self._base_seconds * 2.0 ** min(self._problems[provider], 16))
        self._problems[provider] += 1
        self._not_before[provider] = asyncio.get_running_loop().time() + max(wait, problem.retry_after_seconds or 0.0)

    def reset(self, provider: str) -> None:
        """It has taken a submission."""
        self._problems.pop(provider, None)
        self._not_before.pop(provider, None)
