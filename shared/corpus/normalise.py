"""When two texts count as the same question: what folds, and what must never fold.

Folded: case, white space, the shapes of quotes and dashes, wrappers ("Q:", "12.", "**...**"), the final "?" or ".".
Kept: every letter, digit, operator and bracket, so that `C` is not `C++`, `x²` is not `x2` and `-5` is not `5`.
That is why the Unicode form is NFC and not NFKC, which turns x² into x2 and 3½ into 31/2; of the
compatibility forms only full-width ASCII is folded, since it differs in nothing but its width.
"""

import hashlib
import re
import unicodedata
from functools import lru_cache

from shared.corpus.canonical import compose
from shared.corpus.number_words import NUMBER_WORDS

_SHAPES = {
    "'": "\u2018\u2019\u201a\u201b\u2032",  # curly single quotes, prime
    '"': "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb",  # curly double quotes, double prime, guillemets
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",  # hyphens, dashes, the minus sign
    "...": "\u2026",
    "": "\u200b\u2060\ufeff\u00ad",  # zero-width space and joiner, byte order mark, soft hyphen
}
_CHARACTERS = str.maketrans(
    {
        **{character: shape for shape, characters in _SHAPES.items() for character in characters},
        **{chr(wide): chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},  # full-width ASCII
    }
)

_LABEL = r"(?:q|question|problem|exercise|task|prompt|query)"
_OPENINGS = re.compile(
    rf"""
      \#{{1,6}}\s+(?=\S)                                        # a heading: "## What ..."
    | [•‣◦▪·]\s*                                              # a bullet that is nothing else
    | [-*]\s+(?=[^\W\d_]{{2}})                                  # "- What ...", but never the minus of "- 5 + 3"
    | \d{{1,3}}[.)]\s+(?=\S)                                    # "12. What ...", but never "3.5 is ..."
    | \*{{0,2}}{_LABEL}\s*\#?\d{{0,4}}\s*\*{{0,2}}\s*:\s*\*{{0,2}}\s*(?=\S)    # "Q:", "Question 3:", "**Problem:**"
    | {_LABEL}\s*\#?\d{{1,4}}(?:[.)]|\s-)\s+(?=\S)              # "Question 3.", "Q3)", "Problem 3 - "
    | (?:please\s+)?(?:answer|solve|consider)\s+(?:the\s+following|this)\s+(?:question|problem|riddle)s?\s*:\s*(?=\S)
    """,
    re.VERBOSE | re.IGNORECASE,
)
# A prompt for the answer belongs to the question only in the middle of a line ("write down the answer:").
_ANSWER = re.compile(r"(?:answer|solution)\Z", re.IGNORECASE)
_YOUR = re.compile(r"your\Z", re.IGNORECASE)
_LONGEST_CLOSING = len("? your solution :")
# "!" falls only behind a word: 5! and n! are factorials.
_TWO_LETTERS = re.compile(r"[^\W\d_]{2}")
_SPACE_BEFORE = re.compile(r" +(?=[,.;?](?: |\Z))")

_DIGITS = re.compile(
    r"\d+(?:[.,]\d+)*(?:\s?/\s?\d+(?:[.,]\d+)*)?(?:st|nd|rd|th)?"  # 1,000.5 and 3/4 and 3rd
    r"|[\u2070-\u2089\u00b2\u00b3\u00b9\u00bc-\u00be]+"  # superscripts, subscripts, halves and quarters
)
_SIGN = re.compile(r"(?<![\w#)\]}])-(?=#)")
# A candidate is folded for its hash and for what it is compared with, and soon again as the neighbour of others.
REMEMBERED = 4096  # texts
MOST_REMEMBERED = 1000  # characters

# Half of all words are passed over by their first letter, before each number word is tried.
_NUMBER_WORD = re.compile(
    rf"\b(?=[{''.join(sorted({word[0] for word in NUMBER_WORDS}))}])(?:{'|'.join(NUMBER_WORDS)})\b"
)
_ASCII_DIGIT = re.compile(r"[0-9]")


def normalise(text: str) -> str:
    """The text with all that folds folded; the same for its own result."""
    return _normalise_lately(text) if len(text) <= MOST_REMEMBERED else _normalise(text)


def _normalise(text: str) -> str:
    folded = fold_characters(text).lower()
    return unwrap(folded if folded.isascii() else unicodedata.normalize("NFC", folded))


_normalise_lately = lru_cache(REMEMBERED)(_normalise)


def text_hash(text: str) -> bytes:
    """16 bytes that are equal for equal questions: the first half of sha256 over the normalised text."""
    return hash_of(normalise(text))


def template_of(text: str) -> str:
    """The normalised text with its numbers masked: "how much is # + #"."""
    return mask_numbers(normalise(text))


def hash_of(normalised: str) -> bytes:
    """`text_hash` of a text that is normalised already."""
    return hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).digest()[:16]


def mask_numbers(normalised: str) -> str:
    """`template_of` a text that is normalised already."""
    has_digits = not normalised.isascii() or _ASCII_DIGIT.search(normalised)
    masked = _DIGITS.sub("#", normalised) if has_digits else normalised
    if "-" in masked:
        masked = _SIGN.sub("", masked)
    masked = _NUMBER_WORD.sub("\0", masked)
    return masked.replace("\0-\0", "\0").replace("\0", "#")  # "twenty-five" is one number


def fold_characters(text: str) -> str:
    """Quotes, dashes and widths in one shape each, and canonical composition; case stays."""
    if text.isascii():
        return text
    return compose(text.translate(_CHARACTERS))


def unwrap(text: str) -> str:
    """One space where there was white space, and no wrapper around the question; a text of wrappers alone stays.

    A text may be a million layers: each round drops one of each kind, moves two indices, and copies nothing.
    """
    text = _drop_closing(text.strip())
    text = " ".join(text.split())
    if " ," in text or " ." in text or " ;" in text or " ?" in text:
        text = _SPACE_BEFORE.sub("", text)
    start, end, seen = 0, len(text), -1
    while True:
        inner_start, inner_end = _drop_front_and_pair(text, start, end)
        bare = inner_end
        while bare > inner_start and text[bare - 1] in " .?":
            bare -= 1
        bare = bare if bare > inner_start else inner_end
        if bare != seen:  # else the round before has looked at this very end
            bare = _drop_exclamation(text, inner_start, bare)
        if (inner_start, bare) == (start, end):
            break
        start, end, seen = inner_start, bare, bare
    text = text[start:end]
    return text[:-2] + text[-1] if text.endswith((" ,", " .", " ;", " ?")) else text  # what stood behind is gone


def _drop_front_and_pair(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the text begins and ends without its opening, its closing and the pair that encloses it."""
    if opening := _OPENINGS.match(text, start, end):
        start = opening.end()
    if text.endswith(":", start, end):
        tail = text[max(start, end - _LONGEST_CLOSING) : end]
        end -= len(tail) - len(_drop_closing(tail))
    width = _enclosing_width(text, start, end)
    inner_start, inner_end = start + width, end - width
    while inner_start < inner_end and text[inner_start] == " ":
        inner_start += 1
    while inner_start < inner_end and text[inner_end - 1] == " ":
        inner_end -= 1
    return (inner_start, inner_end) if inner_start < inner_end else (start, end)


def _enclosing_width(text: str, start: int, end: int) -> int:
    """The length of the mark at both ends that encloses all between; 0 when there is none.

    Inside the pair there must be none of the same, or `"A" or "B"` would lose its outer quotes.
    """
    if end - start < 2 or text[start] not in "*\"'" or text[start] != text[end - 1]:
        return 0
    if text[start] != "*":
        return int(text.find(text[start], start + 1, end - 1) < 0)
    if text.startswith("**", start, end):
        ends = end - start >= 5 and text[end - 2] == "*" and text[end - 3] != " "
        return 2 if ends and text.find("*", start + 2, end - 3) < 0 else 0
    # One star must touch what it enclosed, more than one word: else it multiplies.
    touches = text[start + 1] != " " and text[end - 2] != " "
    return int(touches and text.find("*", start + 1, end - 1) < 0 and text.find(" ", start + 1, end - 1) >= 0)


def _drop_exclamation(text: str, start: int, end: int) -> int:
    quiet = end
    while quiet > start and text[quiet - 1] == "!":
        quiet -= 1
    return quiet if quiet - start >= 2 and _TWO_LETTERS.match(text, quiet - 2, quiet) else end


def _drop_closing(text: str) -> str:
    """The text without a last "Your answer:" that follows a sentence or has a line of its own."""
    if not text.endswith(":"):
        return text
    asked = text[:-1].rstrip()
    answer = _ANSWER.search(asked, max(0, len(asked) - len("solution")))
    if answer is None:
        return text
    before = asked[: answer.start()]
    spaced = before.rstrip()
    your = _YOUR.search(spaced, max(0, len(spaced) - len("your"))) if spaced != before else None
    if your and _is_complete(spaced[: your.start()]):
        return spaced[: your.start()].rstrip()
    return spaced if _is_complete(before) else text


def _is_complete(text: str) -> bool:
    """Whether a sentence or a line ends here."""
    bare = text.rstrip()
    return bare.endswith((".", "?", "!")) or "\n" in text[len(bare) :]
