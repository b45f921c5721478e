"""Pairs of questions of which is known whether they are duplicates: labelled ones from a file, if one is given."""

import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

# A JSONL file, plain or gzip; each line has `a`, `b`, `dup` (1 or 0) and `kind`.
PAIRS_VARIABLE = "QUESTMILL_BENCH_PAIRS"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts; `kind` says how they differ."""

    kind: str
    a: str
    b: str
    dup: bool


def labelled_pairs() -> Sequence[Pair]:
    """Those of the file that QUESTMILL_BENCH_PAIRS names; none without it."""
    path = os.environ.get(PAIRS_VARIABLE)
    if not path:
        return ()
    content = Path(path).read_bytes()
    if path.endswith(".gz"):
        content = gzip.decompress(content)
    rows = (orjson.loads(line) for line in content.splitlines() if line.strip())
    return [Pair(row["kind"], row["a"], row["b"], bool(row["dup"])) for row in rows]
