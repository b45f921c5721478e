"""How long a provider, or one of its models, is left alone that takes no bulk submissions."""

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

    def is_waiting(self, name: str) -> bool:
        """Whether nothing is submitted to it yet."""
        return asyncio.get_running_loop().time() < self._not_before.get(name, 0.0)

    def note(self, name: str, problem: BulkProblem) -> None:
        """It said no, or nothing."""
        wait = min(LONGEST_SECONDS, self._base_seconds * 2.0 ** min(self._problems[name], 16))
        self._problems[name] += 1
        self._not_before[name] = asyncio.get_running_loop().time() + max(wait, problem.retry_after_seconds or 0.0)

    def reset(self, name: str) -> None:
        """It takes submissions again."""
        self._problems.pop(name, None)
        self._not_before.pop(name, None)
