"""Request and token quotas per provider and model, as token buckets that tell the truth in their headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a bucket counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """Input and output together (OpenAI)."""
    INPUT = "input-tokens"
    OUTPUT = "output-tokens"


@dataclass(frozen=True, slots=True)
class Quota:
    """Ceilings of one model. A bucket holds `burst_seconds` worth of its rate and starts full."""

    requests_per_minute: float = 30_000.0
    tokens_per_minute: float = 60_000_000.0
    burst_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what no bucket could work with."""
        if not all(value > 0 for value in (self.requests_per_minute, self.tokens_per_minute, self.burst_seconds)):
            raise ValueError("quotas and their burst are greater than 0")


DEFAULT_QUOTA = Quota()
"""More than any test or demo uses up by itself."""


class Bucket:
    """One token bucket; times are seconds of a monotonic clock. A settlement may leave it in debt."""

    __slots__ = ("_at", "_level", "capacity", "per_minute")

    def __init__(self, per_minute: float, burst_seconds: float, now: float) -> None:
        self.per_minute = per_minute
        # A whole request has to fit, however small the burst is.
        self.capacity = max(per_minute * burst_seconds / 60, 1.0)
        self._level = self.capacity
        self._at = now

    def level(self, now: float) -> float:
        """What is left of it."""
        self._level = min(self.capacity, self._level + max(now - self._at, 0.0) * self.per_minute / 60)
        self._at = now
        return self._level

    def wait_seconds(self, cost: float, now: float) -> float:
        """How long until `cost` fits; more than the capacity needs a full bucket."""
        return max(min(cost, self.capacity) - self.level(now), 0.0) * 60 / self.per_minute

    def take(self, cost: float, now: float) -> None:
        """Take `cost` out of it, or give a negative one back."""
        self._level = min(self.level(now) - cost, self.capacity)

    def full_in_seconds(self, now: float) -> float:
        """How long until it is full again."""
        return (self.capacity - self.level(now)) * 60 / self.per_minute


@dataclass(frozen=True, slots=True)
class BucketState:
    """What a reply's headers say of one bucket."""

    limit: int
    remaining: int
    full_in_seconds: float


class Quotas:
    """The buckets of every provider and model, each model with the same ceilings."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._buckets: dict[tuple[str, str], dict[Kind, Bucket]] = {}

    @property
    def quota(self) -> Quota:
        """The ceilings in force."""
        return self._quota

    def change(self, quota: Quota) -> None:
        """New ceilings from now on; every bucket starts full again."""
        self._quota = quota
        self._buckets.clear()

    def try_take(self, provider: str, model: str, costs: Mapping[Kind, float], now: float) -> float:
        """Take all the costs, or nothing at all; seconds until they fit, 0.0 if they were taken."""
        buckets = self._buckets_of(provider, model, costs, now)
        wait = max(buckets[kind].wait_seconds(cost, now) for kind, cost in costs.items())
        if wait <= 0:
            self.settle(provider, model, costs, now)
        return wait

    def settle(self, provider: str, model: str, differences: Mapping[Kind, float], now: float) -> None:
        """Take what a request cost more than was taken for it; a negative difference gives back."""
        buckets = self._buckets_of(provider, model, differences, now)
        for kind, difference in differences.items():
            buckets[kind].take(difference, now)

    def states(self, provider: str, model: str, now: float) -> dict[Kind, BucketState]:
        """What the headers of this model say: the limit is the rate per minute, whatever the burst."""
        return {
            kind: BucketState(int(bucket.per_minute), max(int(bucket.level(now)), 0), bucket.full_in_seconds(now))
            for kind, bucket in self._buckets.get((provider, model), {}).items()
        }

    def _buckets_of(self, provider: str, model: str, kinds: Mapping[Kind, float], now: float) -> dict[Kind, Bucket]:
        buckets = self._buckets.setdefault((provider, model), {})
        for kind in kinds:
            if kind not in buckets:
                per_minute = self._quota.requests_per_minute if kind is Kind.REQUESTS else self._quota.tokens_per_minute
                buckets[kind] = Bucket(per_minute, self._quota.burst_seconds, now)
        return buckets
