"""MinHash over character 4-grams, in 12 bands of 5 rows: similar texts share a band, most others share none.

Of those that share one, most are still not similar. Two bits of every row, the sketch, tell nearly all of them at once.

Everything here is arithmetic modulo 2**64 on unsigned integers, with constants derived from `SEED`: the same text has
the same bands in every process and on every platform. Bands are stored, so any change here, or of what `normalise`
folds, is a new `SIGNATURE_VERSION`.

A pair of Jaccard similarity s shares a band with probability 1 - (1 - s**5)**12: 0.961 at 0.75, 0.991 at 0.8, 0.9999
at 0.9, and 0.11 at 0.4. Each of the other 55 rows then adds 1 - s to the distance of the two sketches on average (an
unequal row has two random bits): 14 at 0.75 with a standard deviation of 4.1, 33 at 0.4, 60 for unrelated texts.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIGNATURE_VERSION = 1
SEED = 20_250_101
BANDS = 12
ROWS = 5
SHINGLE = 4
SKETCH_BITS = 2 * BANDS * ROWS
# 3.5 standard deviations above the mean at 0.75: it loses 1 in 4,000 of those pairs, where the bands lose 1 in 26.
SKETCH_DISTANCE = 28

Words = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# 60 rows of this many shingles are 2 MB, which the C library keeps for the next block (local/process.py).
_SHINGLES_AT_ONCE = 4096


def _draw(count: int, stream: int) -> Words:
    """Odd 64-bit constants: SplitMix64 from the seed and a stream number."""
    drawn = []
    state = (SEED * _GOLDEN + stream) & _MASK
    for _ in range(count):
        state = (state + _GOLDEN) & _MASK
        word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        drawn.append((word ^ (word >> 31)) | 1)
    return np.array(drawn, dtype=np.uint64)


_CHARACTER = _draw(SHINGLE, stream=1)
_ROW = _draw(BANDS * ROWS, stream=2)[:, np.newaxis]
_BAND = _draw(BANDS, stream=3)
_SKETCH = _draw(BANDS * ROWS, stream=4)[:, np.newaxis]
_MIX_1, _MIX_2, _STEP = (np.uint64(word) for word in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, _GOLDEN))


def _mix(words: Words) -> Words:
    """The finaliser of SplitMix64: every bit of the result hangs on every bit given."""
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))


class Signature(NamedTuple):
    """Of a text: 12 signed 64-bit band values, and a sketch of 120 bits, of which similar texts share most."""

    bands: tuple[int, ...]
    sketch: int


def may_be_similar(sketch: int, other: int) -> bool:
    """Whether the texts of these sketches are worth comparing."""
    return (sketch ^ other).bit_count() <= SKETCH_DISTANCE


def signatures_of(texts: Sequence[str]) -> list[Signature]:
    """The signature of each text, which should be normalised."""
    if not texts:
        return []
    minima = np.empty((BANDS * ROWS, len(texts)), dtype=np.uint64)
    for first, last, shingles, starts in _blocks(texts):
        if last - first > 1:
            minima[:, first:last] = np.minimum.reduceat(shingles * _ROW, starts, axis=1)
        else:
            minima[:, first] = _minima_of_one(shingles)
    rows = minima.reshape(BANDS, ROWS, len(texts))
    band = np.broadcast_to(_BAND[:, np.newaxis], (BANDS, len(texts)))
    for row in range(ROWS):
        band = _mix((band ^ rows[:, row]) + _STEP)
    bits = (_mix(minima ^ _SKETCH) & np.uint64(3)).astype(np.uint8)
    sketches = np.packbits(np.concatenate((bits >> 1, bits & 1)), axis=0).T
    return [
        Signature(tuple(values), int.from_bytes(sketch.tobytes()))
        for values, sketch in zip(band.T.astype(np.int64).tolist(), sketches, strict=True)
    ]


def shingles_of(texts: Sequence[str]) -> tuple[Words, NDArray[np.intp]]:
    """A hash of each 4 characters, text after text, and where each text's begin.

    A text shorter than that is padded with NUL to one shingle.
    """
    padded = [text.ljust(SHINGLE, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded], dtype=np.intp)
    encoded = "".join(padded).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(encoded, dtype="<u4").astype(np.uint64)
    count = len(codes) - SHINGLE + 1
    hashed = sum(
        (codes[place : place + count] * _CHARACTER[place] for place in range(1, SHINGLE)), codes[:count] * _CHARACTER[0]
    )
    ends = np.cumsum(lengths)
    inside = np.ones(len(codes), dtype=bool)
    for back in range(1, SHINGLE):  # the last three places of a text would read into the next one
        inside[ends - back] = False
    starts = np.zeros(len(texts), dtype=np.intp)
    np.cumsum(lengths[:-1] - (SHINGLE - 1), out=starts[1:])
    return _mix(hashed[inside[:count]]), starts


def _minima_of_one(shingles: Words) -> Words:
    """The least value of each row over a text of any length, whose 60 rows at once would be 480 times its size."""
    pieces = range(0, len(shingles), _SHINGLES_AT_ONCE)
    least = np.full(BANDS * ROWS, _MASK, dtype=np.uint64)
    for at in pieces:
        np.minimum(least, (shingles[at : at + _SHINGLES_AT_ONCE] * _ROW).min(axis=1), out=least)
    return least


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, int, Words, NDArray[np.intp]]]:
    """Runs of whole texts: first, last (exclusive), their shingles in a row, and where each text's begin."""
    first = 0
    while first < len(texts):
        last, size = first, 0
        while last < len(texts) and (last == first or size + len(texts[last]) <= _SHINGLES_AT_ONCE):
            size += max(len(texts[last]), SHINGLE)
            last += 1
        yield first, last, *shingles_of(texts[first:last])
        first = last
