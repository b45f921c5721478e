"""Which split each row goes to: decided from itself and from older rows only, so that adding rows moves none.

A row's own split is that of its held-out domain or topic; or the split that its cell has too few rows in; or by
sha256(seed, hash of the normalised text) against the shares. What repeats older rows goes where they are.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.bundle.names import NO_TOPIC, TEST, TRAIN, VALIDATION

# A cell is owed a row of test, and one of validation, for each so many of its rows, until it has the minimum.
ROWS_PER_LEAST = 10


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """How rows are split. Shares are of all rows, topic shares of all topics; both from 0 to 1.

    `minimum`: rows of each cell in test, and as many in validation. `domains` and `topics` name what is held out, and
    the split that it goes to.
    """

    seed: int = 2025
    validation_share: float = 0.05
    test_share: float = 0.05
    minimum: int = 5
    validation_topics: float = 0.05
    test_topics: float = 0.1
    domains: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError or TypeError on nonsense; what a person typed is checked before, with better words."""
        if not all(isinstance(each, int) for each in (self.seed, self.minimum)):
            raise TypeError("seed and minimum are whole numbers")
        shares = (self.validation_share, self.test_share), (self.validation_topics, self.test_topics)
        is_counted = 0 <= self.seed < 2**63 and 0 <= self.minimum < 2**63
        if not is_counted or not all(min(two) >= 0 and sum(two) <= 1 for two in shares):
            raise ValueError("a number is out of its range")
        if not {*self.domains.values(), *self.topics.values()} <= {VALIDATION, TEST}:
            raise ValueError("what is held out goes to validation or test")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a split is decided from: the kind of a question and the hash of its text."""

    domain: str
    topic: str
    difficulty: str
    text_hash: bytes

    @property
    def cell(self) -> tuple[str, str]:
        """Domain and difficulty."""
        return self.domain, self.difficulty


class Repeats(Protocol):
    """Knows which kept rows a row repeats."""

    def older(self, place: int) -> Sequence[int]:
        """The places of kept rows that this one repeats."""

    def keep(self, place: int) -> None:
        """Later rows are compared with this one too."""


@dataclass(frozen=True, slots=True)
class Torn:
    """A row that is left out: the older rows that it repeats are not all in the split that it has to be in."""

    place: int
    repeats: Sequence[int]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The split of each row that is kept, in the order of deciding, and the rows that are left out."""

    splits: Mapping[int, str]
    torn: Sequence[Torn]


def assign(
    places: Sequence[int],
    kind_of: Callable[[int], Kind],
    repeats: Repeats,
    options: SplitOptions,
    settled: Mapping[int, str] | None = None,
) -> Assigned:
    """Splits of the rows at these places, oldest first. Those of an older bundle are `settled`, and come first."""
    settled = settled or {}
    splits: dict[int, str] = {}
    torn: list[Torn] = []
    rows: Counter[tuple[str, str]] = Counter()
    held: Counter[tuple[tuple[str, str], str]] = Counter()
    for place in sorted(places, key=lambda place: place not in settled):
        its = kind_of(place)
        held_out = held_out_split(its, options)
        bound = settled.get(place) or held_out
        older = repeats.older(place)
        wanted = {splits[each] for each in older} | ({bound} if bound else set())
        if len(wanted) > 1:
            torn.append(Torn(place, older))
            continue
        rows[its.cell] += held_out is None
        split = wanted.pop() if wanted else _own_split(its, options, rows[its.cell], held)
        splits[place] = split
        held[its.cell, split] += 1
        repeats.keep(place)
    return Assigned(splits, torn)


def held_out_split(its: Kind, options: SplitOptions) -> str | None:
    """The split that the row's domain or topic goes to as a whole, if it is held out; named ones before drawn ones."""
    return (
        options.domains.get(its.domain)
        or options.topics.get(its.topic)
        or drawn_topic(its.topic, options.seed, options.validation_topics, options.test_topics)
    )


def drawn_topic(topic: str, seed: int, validation_topics: float, test_topics: float) -> str | None:
    """The split that a topic is held out for, by the keyed hash of its name; "other" never is."""
    return (
        None
        if topic == NO_TOPIC
        else _by_share(_fraction(b"topic", seed, topic.encode()), validation_topics, test_topics)
    )


def _own_split(its: Kind, options: SplitOptions, rows: int, held: Mapping[tuple[tuple[str, str], str], int]) -> str:
    due = min(options.minimum, rows // ROWS_PER_LEAST)
    for split, share in ((TEST, options.test_share), (VALIDATION, options.validation_share)):
        if share > 0 and held.get((its.cell, split), 0) < due:
            return split
    drawn = _by_share(_fraction(b"row", options.seed, its.text_hash), options.validation_share, options.test_share)
    return drawn or TRAIN


def _by_share(fraction: float, validation_share: float, test_share: float) -> str | None:
    if fraction < test_share:
        return TEST
    return VALIDATION if fraction < test_share + validation_share else None


def _fraction(what: bytes, seed: int, content: bytes) -> float:
    """From 0 to 1, evenly: the first 53 bits of a keyed hash."""
    digest = hashlib.sha256(what + seed.to_bytes(8, "big", signed=True) + content).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def place_in_order(seed: int, text_hash: bytes) -> bytes:
    """DESIGN "Order": rows of a file are sorted by this keyed hash of their normalised text."""
    return hashlib.sha256(seed.to_bytes(8, "big", signed=True) + text_hash).digest()
