"""When two texts count as the same question: what folds, and what must never fold.

Folded: case, white space, the shapes of quotes and dashes, wrappers ("Q:", "12.", "**...**"), the final "?" or ".".
Kept: every letter, digit, operator and bracket, so that `C` is not `C++`, `x²` is not `x2` and `-5` is not `5`.
That is why the Unicode form is NFC and not NFKC, which turns x² into x2 and 3½ into 31/2; of the
compatibility forms only full-width ASCII is folded, since it differs in nothing but its width.
"""

import hashlib
import re
import unicodedata

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
_CLOSING = re.compile(r"(?:(?<=[.?!])\s*|\s*\n\s*)(?:your\s+)?(?:answer|solution)\s*:\s*\Z", re.IGNORECASE)
# Inside the pair there must be none of the same, or `"A" or "B"` would lose its outer quotes.
_ENCLOSED = re.compile(r"""\*\*([^*]*\S)\*\*|\*([^*\s][^*]*\s[^*]*[^*\s])\*|"([^"]*)"|'([^']*)'""")
_ENCLOSERS = frozenset("*\"'")
# "!" falls only behind a word: 5! and n! are factorials.
_EXCLAMATION = re.compile(r"[^\W\d_]{2}!+\Z")
_SPACE_BEFORE = re.compile(r" +(?=[,.;?](?: |\Z))")

_DIGITS = re.compile(
    r"\d+(?:[.,]\d+)*(?:\s?/\s?\d+(?:[.,]\d+)*)?(?:st|nd|rd|th)?"  # 1,000.5 and 3/4 and 3rd
    r"|[\u2070-\u2089\u00b2\u00b3\u00b9\u00bc-\u00be]+"  # superscripts, subscripts, halves and quarters
)
_SIGN = re.compile(r"(?<![\w#)\]}])-(?=#)")
_WORDS = re.compile(r"[a-z]+")
_NUMBER_WORDS = {word: re.compile(rf"\b{word}\b") for word in NUMBER_WORDS}


def normalise(text: str) -> str:
    """The text with all that folds folded; the same for its own result."""
    folded = fold_characters(text).lower()
    return unwrap(folded if folded.isascii() else unicodedata.normalize("NFC", folded))


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
    masked = _SIGN.sub("", _DIGITS.sub("#", normalised))
    for word in NUMBER_WORDS.keys() & _WORDS.findall(masked):
        masked = _NUMBER_WORDS[word].sub("\0", masked)
    return masked.replace("\0-\0", "\0").replace("\0", "#")  # "twenty-five" is one number


def fold_characters(text: str) -> str:
    """Quotes, dashes and widths in one shape each, and canonical composition; case stays."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(_CHARACTERS))


def unwrap(text: str) -> str:
    """One space where there was white space, and no wrapper around the question; a text of wrappers alone stays."""
    text = _drop_closing(text.strip())
    text = " ".join(text.split())
    if " ," in text or " ." in text or " ;" in text or " ?" in text:
        text = _SPACE_BEFORE.sub("", text)
    while (bare := _unwrap_once(text)) != text:
        text = bare
    return text


def _unwrap_once(text: str) -> str:
    if opening := _OPENINGS.match(text):
        text = text[opening.end() :]
    text = _drop_closing(text)
    if text[:1] in _ENCLOSERS and (enclosed := _ENCLOSED.fullmatch(text)):
        text = (enclosed[enclosed.lastindex or 0]).strip() or text
    bare = text.rstrip(" .?")
    if bare.endswith("!") and (exclamation := _EXCLAMATION.search(bare)):
        bare = bare[: exclamation.start() + 2]
    return bare or text


def _drop_closing(text: str) -> str:
    return _CLOSING.sub("", text) if text.endswith(":") else text
