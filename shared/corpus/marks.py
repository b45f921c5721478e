"""What tells questions apart that look alike, read from a text: its words, numbers and operators, by sentence."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from shared.corpus.normalise import fold_characters, unwrap
from shared.corpus.number_words import NUMBER_WORDS, TENS, UNITS

_LETTER = r"[^\W\d_\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089]"  # Python takes superscripts for letters
_TOKEN = re.compile(
    rf"""(?P<number>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?)(?P<nth>(?:st|nd|rd|th)\b)?
    | (?P<command>\\[A-Za-z]+)
    | (?P<word>{_LETTER}+(?:'{_LETTER}+)*)
    | (?P<symbol>[^\s_])""",
    re.VERBOSE,
)
# Operators when a number, a variable, a bracket or an operator is beside them; else dashes, slashes, emphasis.
_AMBIGUOUS = frozenset("-/*!:()[]{}")
_OPERATORS = frozenset("^%\N{DEGREE SIGN}&@#\\")
_OPERATOR_CATEGORIES = frozenset({"Sm", "Sc", "No"})  # mathematical and currency symbols, superscripts
_AMBIGUOUS_OPERANDS = frozenset("()[]{}*")
_QUOTES = frozenset("\"'")
_ONE_LETTER_WORDS = frozenset("aAI")
# Capitals of these say nothing.
_FUNCTION_WORDS = frozenset(
    "a an the of and or in on at to for from by with as is are was were be do does did i you he she it we they that "  # noqa: SIM905 - read as a line
    "this if then how what when where which who why my your his her its".split()
)
# Their full stop ends no sentence; nor does that of an initial.
_ABBREVIATIONS = frozenset({"mr", "mrs", "ms", "dr", "st", "mt", "lt", "gen", "prof", "jr", "sr", "vs", "no", "etc"})


@dataclass(frozen=True, slots=True)
class Marks:
    """Lower-case words, numbers and operators of each sentence, in order; the names among the words."""

    words: tuple[tuple[str, ...], ...]
    numbers: tuple[tuple[str, ...], ...]
    operators: tuple[tuple[str, ...], ...]
    counts: Mapping[str, int]  # of the words over all sentences
    names: frozenset[str]
    capitals_tell: bool  # False in a text all of whose words are capitalised, or none


# A match of _TOKEN: its lastgroup is the kind of token that it is.
_Token = re.Match[str]


def read_marks(text: str) -> Marks:
    """Read a text as it was written: names are known by their capitals, within a sentence."""
    tokens = list(_TOKEN.finditer(unwrap(fold_characters(text))))
    words: list[list[str]] = [[]]
    numbers: list[list[str]] = [[]]
    operators: list[list[str]] = [[]]
    names: set[str] = set()
    capitalised = small = 0
    for place, token in enumerate(tokens):
        written = token[0]
        if token.lastgroup in ("number", "nth"):
            numbers[-1].append(_digits(written))
            words[-1].append(numbers[-1][-1])
        elif token.lastgroup == "word":
            word = _bare(written)
            if not words[-1]:
                if _has_inner_capital(written):
                    names.add(word)
            elif written[0].isupper():
                capitalised += word not in _FUNCTION_WORDS
                names.add(word)
            else:
                small += 1
            words[-1].append(word)
            if word in NUMBER_WORDS:
                _add_number_word(numbers[-1], word, tokens, place)
        elif token.lastgroup == "command" or _is_operator(tokens, place):
            operators[-1].append(written)
        elif _ends_sentence(tokens, place):
            for sentences in (words, numbers, operators):
                sentences.append([])
    return Marks(
        words=_freeze(words),
        numbers=_freeze(numbers),
        operators=_freeze(operators),
        counts=Counter(chain(*words)),
        names=frozenset(names - _FUNCTION_WORDS),
        capitals_tell=capitalised > 0 and small > 0,
    )


def _freeze(sentences: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sentence) for sentence in sentences if sentence)


def _bare(word: str) -> str:
    """Lower case, without a possessive."""
    lower = word.lower()
    return lower.removesuffix("'s").removesuffix("'") if "'" in lower else lower


def _digits(number: str) -> str:
    """1,000 as 1000, 3rd as #3."""
    digits = number.replace(",", "")
    return f"#{digits[:-2]}" if digits[-1].isalpha() else digits


def _add_number_word(numbers: list[str], word: str, tokens: list[_Token], place: int) -> None:
    """Append what the word says, or complete the "twenty" of a "twenty-five" before it."""
    before = [token[0].lower() for token in tokens[max(0, place - 2) : place]]
    tens = before[-2] if before[-1:] == ["-"] and len(before) == 2 else before[-1] if before else ""
    if word in UNITS and tens in TENS:
        numbers[-1] = str(TENS[tens] + UNITS[word])
    else:
        numbers.append(NUMBER_WORDS[word])


def _has_inner_capital(word: str) -> bool:
    return any(letter.isupper() for letter in word[1:])


def _is_operator(tokens: list[_Token], place: int) -> bool:
    symbol = tokens[place][0]
    if symbol in _OPERATORS or unicodedata.category(symbol) in _OPERATOR_CATEGORIES:
        return True
    if symbol not in _AMBIGUOUS:
        return False
    before = tokens[place - 1] if place else None
    after = tokens[place + 1] if place + 1 < len(tokens) else None
    if symbol in "!:":  # 5! and 3:2, but neither "It costs 5 dollars!" nor "Options: 5"
        touches = before is not None and before.end() == tokens[place].start() and _is_operand(before)
        return touches and (symbol == "!" or (after is not None and after.lastgroup == "number"))
    return any(beside is not None and _is_operand(beside) for beside in (before, after))


def _is_operand(token: _Token) -> bool:
    written = token[0]
    if token.lastgroup == "symbol":
        return written in _AMBIGUOUS_OPERANDS or written in _OPERATORS or unicodedata.category(written) in ("Sm", "No")
    return token.lastgroup != "word" or (len(written) == 1 and written not in _ONE_LETTER_WORDS)


def _ends_sentence(tokens: list[_Token], place: int) -> bool:
    token = tokens[place]
    if token[0] not in ".?!:;":
        return False
    following = tokens[place + 1] if place + 1 < len(tokens) else None
    if following is not None and following.start() == token.end() and following[0] not in _QUOTES:
        return False
    before = tokens[place - 1][0] if place else ""
    return not (token[0] == "." and (before.lower() in _ABBREVIATIONS or (len(before) == 1 and before.isupper())))
