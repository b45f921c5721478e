"""What is compared of a text to find a benchmark's questions in it: hashes of its words, with numbers masked.

Pure. Of a benchmark nothing else is stored, so any change of what is hashed here, or of what `normalise` folds, asks
for its files to be loaded again: `TRACE_VERSION` is part of a set's digest.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from shared.corpus.normalise import mask_numbers, normalise

TRACE_VERSION = 1
GRAM_WORDS = 8
# In a longer text one changed word leaves enough 8-grams whole; in a shorter one it may leave none.
SHORT_BELOW_WORDS = 40
# "Not True and False" and "((# - #) * #)" are made of so few words that all of them look alike.
LEAST_SHORT_WORDS = 4
# "Why?" and "Explain why." end many a question.
LEAST_SENTENCE_TOKENS = 4
# Of a text of more than 4,000 words the beginning is compared: some 300 KB of rows, whatever is uploaded.
MOST_GRAMS = 4_096
MOST_SENTENCES = 512

_WORD = re.compile(r"#|[^\W_]+")
# Dashes and slashes are operators beside a number or a bracket, stars between two operands; else they are spelling and
# emphasis.
_TOKEN = re.compile(
    r"#|[^\W_]+|[+^=<>×÷±√≤≥≠]"  # noqa: RUF001 - the sign of products
    r"|(?<=[#)])[-/]|(?<=[#)] )[-/]|[-/](?= ?[#(])"
    r"|(?<=[\w#)])\*\*?(?=[\w#(])|(?<=[\w#)] )\*\*?(?= [\w#(])"
)
# From the first of such marks only, and all of them or none: else a million dots before a letter would take hours.
_SENTENCE_END = re.compile(r"(?<![.?!:;])[.?!:;]++(?=[\s\"')\]*]|\Z)")
_APOSTROPHES = str.maketrans("", "", "'")


@dataclass(frozen=True, slots=True)
class Trace:
    """Signed 64-bit hashes of one text; those of different fields never meet by chance.

    `masked` is of all words, numbers as "#", and operators: None where there are none. `sentences` are hashed as
    `masked` is, so that one of them can be a whole other text. `grams` are of 8 words; a text of fewer has none.
    `shingles` are of the words and pairs of words of a short text, its operators among them: the second "the" counts
    besides the first.
    """

    text: int
    masked: int | None
    sentences: tuple[int, ...]
    grams: tuple[int, ...]
    shingles: tuple[int, ...]


def trace(text: str) -> Trace:
    """The trace of a question, or of a benchmark's item."""
    folded = normalise(text)
    masked = mask_numbers(folded).translate(_APOSTROPHES)
    words = _join_numbers(_WORD.findall(masked))
    tokens = _tokens(masked)
    return Trace(
        text=_hash("text", folded),
        masked=_hash("masked", " ".join(tokens)) if tokens else None,
        sentences=_hash_sentences(masked),
        grams=_hash_grams(words),
        shingles=_hash_shingles(tokens) if _is_short(words) else (),
    )


def _hash(field: str, written: str) -> int:
    digest = blake2b(written.encode("utf-8", "surrogatepass"), digest_size=8, person=field.encode())
    return int.from_bytes(digest.digest(), "big", signed=True)


def _tokens(masked: str) -> list[str]:
    return _join_numbers(_TOKEN.findall(masked))


def _join_numbers(tokens: Iterable[str]) -> list[str]:
    """Numbers in a row are one: "[1, 2, 3]" has other numbers than "[4, 5]", but no other words."""
    joined: list[str] = []
    for each in tokens:
        if each != "#" or not joined or joined[-1] != "#":
            joined.append(each)
    return joined


def _is_short(words: Sequence[str]) -> bool:
    return len(words) < SHORT_BELOW_WORDS and sum(word != "#" for word in words) >= LEAST_SHORT_WORDS


def _hash_sentences(masked: str) -> tuple[int, ...]:
    """Those of a text of at least two; a text of one is looked for as it is."""
    parts = [part for part in _SENTENCE_END.split(masked, maxsplit=MOST_SENTENCES) if part.strip()]
    if len(parts) < 2:
        return ()
    sentences = (_tokens(part) for part in parts)
    hashes = (_hash("masked", " ".join(each)) for each in sentences if len(each) >= LEAST_SENTENCE_TOKENS)
    return tuple(dict.fromkeys(hashes))


def _hash_grams(words: Sequence[str]) -> tuple[int, ...]:
    starts = range(min(len(words) - GRAM_WORDS + 1, MOST_GRAMS))
    return tuple(dict.fromkeys(_hash("gram", " ".join(words[at : at + GRAM_WORDS])) for at in starts))


def _hash_shingles(tokens: Sequence[str]) -> tuple[int, ...]:
    seen: Counter[str] = Counter()
    hashes = []
    for shingle in (*tokens, *(" ".join(pair) for pair in pairwise(tokens))):
        seen[shingle] += 1
        hashes.append(_hash("shingle", f"{seen[shingle]} {shingle}"))
    return tuple(hashes)
