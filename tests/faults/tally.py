"""What a run of the fault suite did: each fault with how often it was injected and what came of it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROMISES = {
    1: ("worker SIGKILL", "the job ends exact; work resumes within a lease and a tick"),
    2: ("Postgres SIGQUIT and SIGKILL", "no loss, no double; workers keep their replies and reconnect"),
    3: ("Redis SIGKILL and FLUSHALL", "every job still ends"),
    4: ("Redis SIGSTOP", "POST in under a second, /readyz degraded; the job runs after the thaw"),
    5: ("worker stalled past its lease", "nothing fenced is written; its replies are recorded"),
    6: ("one message five times", "one runs, four are no-ops"),
    7: ("a batch that kills its process", "parked with the reason; the job still ends"),
    8: ("cancel in mid-run", "no question after it; spending stops within the calls in flight"),
    9: ("SIGTERM to every worker", "exit 0 in time, no paid reply lost, no attempt used up"),
    10: ("API SIGKILL right after COMMIT", "the job still runs"),
    11: ("one POST twenty times", "one job; another body with the key: 409"),
    12: ("a worker's clock an hour off", "no early expiry"),
    13: ("the model server's faults", "right retry or stop for each, never before Retry-After"),
    14: ("the model yields nothing new", "stops with a reason, exportable, money not burnt for ever"),
    15: ("budget reached in mid-run", "paused, never exceeded, resumes"),
    16: ("disk full, Postgres read-only", "clear error, /readyz 503, resumes"),
    17: ("two reconcilers", "no double effect"),
    18: ("connection cut at COMMIT", "the retried write has no second effect"),
}


@dataclass(slots=True)
class Tally:
    """Counts of one run: injections by fault, and by name what they led to (restarts, fenced-off writes ...)."""

    seed: int
    injected: Counter[int] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)
    passed: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The table, as Markdown."""
        yield f"seed {self.seed}"
        yield "| # | fault | injected | promise | result |"
        yield "|---|---|---|---|---|"
        for number, (fault, promise) in PROMISES.items():
            if self.injected[number] or self.passed[number] or self.failed[number]:
                result = f"{self.failed[number]} broken" if self.failed[number] else "kept"
                yield f"| {number} | {fault} | {self.injected[number]} | {promise} | {result} |"
        yield ", ".join(f"{name} {count}" for name, count in sorted(self.effects.items()))
        yield from self.notes

    def to_json(self) -> dict[str, Any]:
        """The counts as plain values; numbers of faults become text."""
        return {
            "seed": self.seed,
            **{name: _by_text(getattr(self, name)) for name in COUNTERS},
            "notes": self.notes,
        }

    def add(self, other: Mapping[str, Any]) -> None:
        """Take the counts of another process over, as `to_json` gave them."""
        for name, number in COUNTERS.items():
            getattr(self, name).update({number(key): count for key, count in other[name].items()})
        self.notes += other["notes"]

    def write(self, path: Path) -> None:
        """Keep the counts as JSON."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n")


# Each counter of a tally, and what its keys are made of.
COUNTERS: dict[str, Callable[[str], int | str]] = {"injected": int, "passed": int, "failed": int, "effects": str}


def _by_text(counter: Counter[Any]) -> dict[str, int]:
    return {str(key): count for key, count in sorted(counter.items())}
