"""What the values of an enumeration mean: the comments beside them, from the source."""

import inspect
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

_VALUE = re.compile(r'^    \w+ = "(?P<value>[^"]+)"(?:  # (?P<meaning>.+))?$', re.MULTILINE)


def meanings(name: str, values: Sequence[str]) -> dict[str, str]:
    """What each value means, as far as that is said; the class is found by its name and values."""
    for found in _all_of(StrEnum):
        if found.__name__ == name and [str(each) for each in found] == list(values):
            return {each["value"]: each["meaning"] or "" for each in _VALUE.finditer(inspect.getsource(found))}
    return {}


def _all_of(base: type[StrEnum]) -> Iterator[type[StrEnum]]:
    for each in base.__subclasses__():
        yield each
        yield from _all_of(each)
