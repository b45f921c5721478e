"""What is found wrong with a bundle: sentences, of each kind no more than a person reads."""

from collections import Counter

MOST_OF_A_KIND = 10


class Findings:
    """Takes problems in and keeps the first of each kind."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._kept)

    def add(self, kind: str, sentence: str) -> None:
        """`kind` names the problems that are of one sort: "rows of data/train.parquet"."""
        self._counts[kind] += 1
        if self._counts[kind] <= MOST_OF_A_KIND:
            self._kept.append(sentence)

    def take(self, others: "Findings") -> None:
        """What was found by looking at a part."""
        self._kept += others._kept  # noqa: SLF001 - of its own kind
        self._counts += others._counts  # noqa: SLF001

    def sentences(self) -> list[str]:
        """All that is kept, and how many more there are."""
        more = [(kind, count - MOST_OF_A_KIND) for kind, count in self._counts.items() if count > MOST_OF_A_KIND]
        return [*self._kept, *(f"{kind}: {count:,} more." for kind, count in more)]
