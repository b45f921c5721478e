"""Unicode's canonical composition at a cost that grows with the length of the text, whatever the text is."""

import re
import unicodedata

# Composing sorts the marks behind a letter by inserting each into those before it: 80,000 of them take seconds, a
# megabyte minutes. Marks that are in order already are passed once.
_LONGEST_RUN = 30
# All marks are below this. Some count as none themselves but are made of marks (U+0F73).
_END_OF_MARKS = 0x1F000


def compose(text: str) -> str:
    """The NFC form of the text."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _RUN.sub(_sort_marks, text))


def _sort_marks(run: re.Match[str]) -> str:
    """The same marks in canonical order, as UAX #15 defines it: by class, those of one class as they came."""
    marks = (mark for written in run[0] for mark in unicodedata.normalize("NFD", written))
    return "".join(sorted(marks, key=unicodedata.combining))


def _mark_ranges() -> str:
    """The marks as a few ranges, which a character class is searched for far faster than for single ones."""
    ranges: list[list[int]] = []
    for code in range(0x300, _END_OF_MARKS):
        if unicodedata.combining(unicodedata.normalize("NFD", chr(code))[0]):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


_RUN = re.compile(f"[{_mark_ranges()}]{{{_LONGEST_RUN + 1},}}")
