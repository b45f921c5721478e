"""The server's own record of every request it served: what tests and audits compare the ledger with."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import orjson

FLUSH_SECONDS = 0.15
KEPT_IN_MEMORY = 200_000
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request served. `seq` counts from 1 without gaps, in the order in which the answers were ready.

    `billed`: a real provider would charge for it. `delivered`: its connection was still open when the answer was ready.
    `retry_after` is in seconds; `started` and `time` are Unix times of the arrival and of the answer. Token counts are
    0 where nothing was generated. `planted` are the lines of the file of plants that the answer holds. `bulk` is the
    bulk submission that the request was part of; its `id` is then the custom id, and it is billed at half price.
    """

    seq: int
    id: str | None
    provider: str
    model: str
    status: int
    outcome: str
    input_tokens: int
    output_tokens: int
    billed: bool
    delivered: bool
    retry_after: int | None
    started: float
    time: float
    planted: tuple[int, ...] = ()
    bulk: str | None = None


class Record:
    """All entries: the latest 200,000 in memory, every one in the JSONL file if there is a path."""

    def __init__(self, path: Path | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT_IN_MEMORY)
        self._outcomes: Counter[tuple[str, str, str, int]] = Counter()
        self._totals: Counter[str] = Counter()
        self._unwritten: list[bytes] = []
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")

    @property
    def next_seq(self) -> int:
        """The number of the next entry."""
        return self._totals["requests"] + 1

    def add(self, entry: Entry) -> None:
        """Note one answer, before its first byte is sent: whoever has an answer finds it in the record."""
        self._entries.append(entry)
        self._outcomes[entry.provider, entry.model, entry.outcome, entry.status] += 1
        self._totals.update(
            requests=1,
            billed=entry.billed,
            input_tokens=entry.input_tokens if entry.billed else 0,
            output_tokens=entry.output_tokens if entry.billed else 0,
        )
        if self._file is not None:
            self._unwritten.append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

    def page(self, since: int, limit: int = PAGE) -> tuple[list[dict[str, object]], int]:
        """Up to `limit` entries with a number above `since`, and the `since` that gets the next page."""
        start = max(since - (self.next_seq - 1 - len(self._entries)), 0)
        entries = list(islice(self._entries, start, start + limit))
        return [asdict(entry) for entry in entries], entries[-1].seq if entries else since

    def summary(self) -> dict[str, object]:
        """Totals (tokens of billed requests only) and the number of requests per provider, model and outcome."""
        return {
            **{name: self._totals[name] for name in ("requests", "billed", "input_tokens", "output_tokens")},
            "outcomes": list(self._outcome_rows()),
        }

    def _outcome_rows(self) -> Iterator[dict[str, object]]:
        for (provider, model, outcome, status), count in sorted(self._outcomes.items()):
            yield {"provider": provider, "model": model, "outcome": outcome, "status": status, "count": count}

    def flush(self) -> None:
        """Write what is not in the file yet."""
        if self._file is not None and self._unwritten:
            self._file.write(b"".join(self._unwritten))
            self._file.flush()
            self._unwritten.clear()

    async def flush_for_ever(self) -> None:
        """Keep the file at most 200 ms behind; ends when cancelled."""
        with suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                self.flush()

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
