"""How much of a provider's allowance a job used, by the rehearsal server's own record of what it served."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from local.rehearsal.quotas import Bucket
from tests.faults.system import RunningSystem

REFUSED = 429


@dataclass(frozen=True, slots=True)
class Use:
    """What a window saw. `share` is what was taken from the rate alone, as a share of it; `refused` of all calls."""

    share: float
    refused: float
    calls: int


def read_record(system: RunningSystem) -> list[dict[str, Any]]:
    """Every request that the server answered, by time of arrival. It writes its file with a short delay."""
    entries = map(orjson.loads, system.record.read_bytes().splitlines())
    return sorted(entries, key=lambda entry: float(entry["started"]))


def requests_of(entry: Mapping[str, Any]) -> float:
    """What an answer took from a quota of requests."""
    return 1.0 if entry["status"] != REFUSED else 0.0


def tokens_of(entry: Mapping[str, Any]) -> float:
    """What an answer took from a quota of tokens."""
    return float(entry["input_tokens"] + entry["output_tokens"])


def use_of(
    entries: Sequence[Mapping[str, Any]],
    cost: Callable[[Mapping[str, Any]], float],
    *,
    per_minute: float,
    burst_seconds: float,
    skip_seconds: float,
    window_seconds: float,
) -> Use:
    """The share used of the rate from `skip_seconds` after the first call on.

    A bucket starts full, and emptying it is no merit of ours: it is played again from the record, and what its level
    fell by over the window is not counted as used.
    """
    start = float(entries[0]["started"]) + skip_seconds
    end = start + window_seconds
    bucket = Bucket(per_minute, burst_seconds, float(entries[0]["started"]))
    used = level_at_start = 0.0
    inside = [entry for entry in entries if start <= entry["started"] < end]
    for entry in entries:
        at = float(entry["started"])
        if at >= end:
            break
        if at < start:
            level_at_start = bucket.level(at)
        else:
            used += cost(entry)
        bucket.take(cost(entry), at)
    from_bucket = max(0.0, level_at_start - max(0.0, bucket.level(end)))
    share = (used - from_bucket) / (per_minute * window_seconds / 60)
    refused = sum(entry["status"] == REFUSED for entry in entries) / len(entries)
    return Use(share, refused, len(inside))
