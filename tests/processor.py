"""Bounds on the processor's time that hold on slow machines too."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What `_turn` takes at least where the bounds were set.
TURN_SECONDS = 0.25


@contextmanager
def takes_at_most(seconds: float) -> Iterator[None]:
    """Fail a block that takes more of the processor; on a slow machine as much more as it is slower at this moment."""
    before = time.process_time()
    yield
    took = time.process_time() - before
    if took >= seconds:
        slowness = max(1.0, _turn() / TURN_SECONDS)
        assert took < seconds * slowness, f"{took:.2f} s where {seconds * slowness:.2f} s are the most"


def _turn() -> float:
    """Some work of the kind that is measured: numbers, texts, expressions, memory."""
    before = time.process_time()
    text = " ".join(map(str, range(100_000)))
    words = re.sub(r"(\d)(\d)", r"\2\1", text).split()
    sum(len(json.dumps(word)) for word in sorted(set(words)))
    return time.process_time() - before
