"""Content injected into prompts: each *kind* is a numbered space of short texts, so that drawing is arithmetic."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shared.questions.atlas import MOST_DOMAINS, DomainAtlas, shared_pools


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of content: `render(0) ... render(size - 1)` are all different."""

    size: int
    render: Callable[[int], str]


def draw_content(kinds: Sequence[Kind], index: int) -> tuple[str, ...]:
    """One text of each kind; different indexes below the product of the sizes give different tuples."""
    texts = []
    for kind in kinds:
        index, digit = divmod(index, kind.size)
        texts.append(kind.render(digit))
    return tuple(texts)


def count_content(kinds: Sequence[Kind]) -> int:
    """How many different tuples `draw_content` can give."""
    return math.prod(kind.size for kind in kinds)


@lru_cache(maxsize=2 * MOST_DOMAINS)
def kinds_for(atlas: DomainAtlas, difficulty: str) -> tuple[Kind, ...]:
    """The kinds that a cell's prompts carry. A kind that is listed k times is split into k disjoint parts."""
    wanted = atlas.include_for(difficulty)
    times = Counter(wanted)
    seen: Counter[str] = Counter()
    kinds = []
    for name in wanted:
        kinds.append(_part_of(_find_kind(atlas, name), seen[name], times[name]))
        seen[name] += 1
    return tuple(kinds)


def _find_kind(atlas: DomainAtlas, name: str) -> Kind:
    if name in NUMBER_KINDS:
        return NUMBER_KINDS[name]
    return _pool_kind(atlas.pools[name] if name in atlas.pools else shared_pools()[name])


def _part_of(kind: Kind, part: int, parts: int) -> Kind:
    if parts == 1:
        return kind
    return Kind(size=-(-(kind.size - part) // parts), render=lambda index: kind.render(index * parts + part))


def _pool_kind(pool: Mapping[str, Any]) -> Kind:
    """A pool is a sentence with {fields} and a list of words for each: its size is the product of their lengths."""
    say = str(pool["say"])
    fields: list[tuple[str, list[str]]] = [(name, pool[name]) for name in re.findall(r"\{(\w+)\}", say)]

    def render(index: int) -> str:
        words = {}
        for name, choices in fields:
            index, digit = divmod(index, len(choices))
            words[name] = choices[digit]
        return say.format(**words)

    return Kind(size=math.prod(len(choices) for _, choices in fields), render=render)


def _digits(index: int, *bases: int) -> list[int]:
    digits = []
    for base in bases:
        index, digit = divmod(index, base)
        digits.append(digit)
    return digits


def _fraction(index: int) -> str:
    top, bottom = _FRACTIONS[index]
    return f"the fraction {top}/{bottom}"


def _amount(index: int) -> str:
    unit, cents = _digits(index, len(_CURRENCIES), 50_000)
    return f"the amount {_CURRENCIES[unit]}{(cents + 75) / 100:.2f}"


def _date(index: int) -> str:
    day, month, year = _digits(index, 28, 12, 30)
    return f"the date {day + 1} {_MONTHS[month]} {year + 2010}"


def _time(index: int) -> str:
    return f"the time {index // 60:02d}:{index % 60:02d}"


def _data(index: int) -> str:
    return "the data " + ", ".join(str(digit + 2) for digit in _digits(index, 97, 97, 97, 97, 97, 97))


def _point(index: int) -> str:
    x, y = _digits(index, 25, 25)
    return f"the point ({x - 12}, {y - 12})"


def _linear(index: int) -> str:
    slope, constant = _digits(index, 18, 40)
    return f"the expression {slope + 2}x {_signed(constant - 20)}"


def _quadratic(index: int) -> str:
    first, second, third = _digits(index, 8, 24, 40)
    return f"the expression {first + 2}x^2 {_signed(second - 12)}x {_signed(third - 20)}"


def _signed(number: int) -> str:
    # Zero is left out of the coefficients: "0x" reads like a slip.
    return f"- {-number}" if number < 0 else f"+ {number + 1}"


_FRACTIONS = [(top, bottom) for bottom in range(2, 25) for top in range(1, bottom) if math.gcd(top, bottom) == 1]
_CURRENCIES = ("$", "€", "£", "₹", "R", "kr ")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

NUMBER_KINDS: Mapping[str, Kind] = {
    "small number": Kind(98, lambda index: f"the number {index + 2}"),
    "number": Kind(9_900, lambda index: f"the number {index + 100}"),
    "decimal": Kind(9_999, lambda index: f"the number {(index + 1) / 100:.2f}"),
    "percentage": Kind(98, lambda index: f"{index + 2}%"),
    "fraction": Kind(len(_FRACTIONS), _fraction),
    "amount": Kind(len(_CURRENCIES) * 50_000, _amount),
    "date": Kind(28 * 12 * 30, _date),
    "time": Kind(24 * 60, _time),
    "data": Kind(97**6, _data),
    "point": Kind(25 * 25, _point),
    "linear expression": Kind(18 * 40, _linear),
    "quadratic expression": Kind(8 * 24 * 40, _quadratic),
}
