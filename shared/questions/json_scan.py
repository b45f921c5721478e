r"""A JSON reader for text that is almost JSON: it never fails, never guesses an ending, and reads each character once.

Strings are where replies break. A quote ends a string only if what follows can follow a string: a colon after a key;
a bracket, or a comma and the start of another value, after a value. Other quotes belong to the text, and so do pairs
of them around a word ("He said "hi", and left"). A string is whole only if the text goes on behind its quote.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from shared.questions.latex import decode_string
from shared.questions.repairs import Repair

MAX_PARTS = 150_000
"""Brackets, commas, strings and such in one reply. The longest that models write, 128,000 tokens, hold fewer."""
MAX_ESCAPED = 1_000_000
"""Characters of strings that hold a backslash, in one reply; a reply of 128,000 tokens has about 500,000 in all."""
MAX_DEPTH = 32
"""Brackets open at once; a list of questions has three."""

_CLOSING_QUOTES = {
    '"': '"',
    "'": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '\u201d\u201c"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '\u201d"',
    "\N{DOUBLE LOW-9 QUOTATION MARK}": '\u201c\u201d"',
    "\N{LEFT SINGLE QUOTATION MARK}": "\u2019'",
}
"""What may end a string, by the quote that opened it."""
# Inner quotes that one string may hold: each costs the matcher some 300 bytes until the string is read.
MOST_INNER_QUOTES = 50_000
_OPENERS = "".join(_CLOSING_QUOTES)
_TOKEN = re.compile(rf"\s*+(?:([\[{{])|([\]}}])|(,)|(:)|([{_OPENERS}])|([^\s,:\[\]{{}}{_OPENERS}][^,:\[\]{{}}]*+))")
_BRACKET = re.compile(r"[\[{]")
_SPACE = re.compile(r"\s*+")
_NAME = re.compile(r"[A-Za-z_]\w*\s*\Z")
_LITERAL = re.compile(r"(?:true|false|null|-?\d[\d.eE+-]*)\s*\Z")
_PYTHON_LITERALS = {"None", "True", "False"}


@dataclass(slots=True)
class Array:
    """A list as far as it was read."""

    items: list["Node"] = field(default_factory=list)


@dataclass(slots=True)
class Object:
    """An object as far as it was read: pairs, so that a repeated key loses nothing."""

    members: list[tuple[str, "Node"]] = field(default_factory=list)
    key: str | None = None  # the key whose value comes next
    implied_end: bool = False  # it was closed by the bracket of a list around it
    stray: bool = False  # text stood between its members: a string may have ended too early


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a truth value, as it was written."""

    text: str


Node = str | Array | Object | Literal | None
"""A value; None stands for null, and for literals unless the scanner keeps them."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value at the top level of a text, where it stands there, whether it was read to its end, and how."""

    node: Array | Object
    start: int
    end: int
    closed: bool
    repairs: tuple[Repair, ...]


def _opening(opener: str) -> str:
    """The pattern of a quote that opens a pair inside a string: nothing or a sign before, a word behind."""
    return rf"(?<=[\s(\[{{<=:,/{_OPENERS}-])[{opener}{_CLOSING_QUOTES[opener]}](?=[^\s,\]}}:{_OPENERS}])"


@cache
def _opens_pair(opener: str) -> re.Pattern[str]:
    return re.compile(_opening(opener))


def _last_quote(body: str, opener: str) -> int:
    """One more than the index of the last quote in a string's body that is not escaped; 0 without one."""
    last = max(body.rfind(quote) for quote in _CLOSING_QUOTES[opener])
    return 0 if last > 0 and body[last - 1] == "\\" else last + 1


def _within(opener: str) -> str:
    """The pattern of a run without a closing quote, escaped characters included."""
    plain = rf"[^\\{_CLOSING_QUOTES[opener]}]*+"
    return rf"{plain}(?:\\.{plain})*"


@cache
def _value_pattern(opener: str, *, in_object: bool) -> re.Pattern[str]:
    """A string value behind its opening quote: its body, then the quote that ends it, if there is one.

    No two parts of it can read the same text, so it never has to go back far. Groups are not repeated possessively:
    Python before 3.11.5 matches those wrongly.
    """
    quote = f"[{_CLOSING_QUOTES[opener]}]"
    next_key = r"|[A-Za-z_]\w*+\s*+:" if in_object else ""
    value = rf"[{_OPENERS}\[{{\]}}]|-?\d|(?:true|false|null|None|True|False)\b|\.\.\.{next_key}"
    ends = rf"{quote}(?=\s*+(?:,\s*+(?:{value}|\Z)|[\]}}]|\Z)|[^\S\n]*+\n\s*+[{_OPENERS}])"
    # The end of a line that holds one item each is no inner quote, whatever stands before.
    ends_line = rf"{quote}[^\S\n]*+(?:,[^\S\n]*+\n|\n\s*+[\]}}])"
    within = _within(opener)
    pair = rf"{_opening(opener)}{within}(?!{ends_line}){quote}"
    empty_pair = rf"(?<=[\s(\[{{=:,])[{opener}{_CLOSING_QUOTES[opener]}]{quote}"
    inner = rf"(?:{pair}|{empty_pair}|(?!{ends}){quote}){within}"
    return re.compile(rf"(?s)({within}(?:{inner}){{0,{MOST_INNER_QUOTES}}})({ends})?")


@cache
def _inner_quote_pattern(opener: str) -> re.Pattern[str]:
    """The text up to and with the first quote that is not escaped."""
    return re.compile(rf"(?s){_within(opener)}[{_CLOSING_QUOTES[opener]}]")


class Scanner:
    """Reads the values of `text` from `start` on; prose between them is passed over."""

    def __init__(self, text: str, start: int = 0, *, keep_literals: bool = False) -> None:
        self._text = text
        self._keep_literals = keep_literals
        self._at = start
        self._parts = 0
        self._escaped = 0
        self._repairs: dict[Repair, None] = {}
        self._open: list[Array | Object] = []
        self._after_comma = False

    def values(self) -> Iterator[Found]:
        """The lists and objects at the top level, in order."""
        while bracket := _BRACKET.search(self._text, self._at):
            self._open, self._repairs = [], {}
            self._parts += 3  # what a value of its own costs
            node = self._read_value(bracket.start())
            yield Found(node, bracket.start(), self._at, not self._open, tuple(self._repairs))

    def _read_value(self, start: int) -> Array | Object:
        self._at = start + 1
        self._after_comma = False
        root = Array() if self._text[start] == "[" else Object()
        self._open.append(root)
        while self._open and (token := _TOKEN.match(self._text, self._at)):
            self._parts += 1
            if self._parts > MAX_PARTS or len(self._open) > MAX_DEPTH:
                self._note(Repair.OVERLONG)
                break
            self._at = token.end()
            self._take(token)
        if self._open:
            self._at = len(self._text)
            for node in self._open:
                if isinstance(node, Object):  # the text of an unfinished object is half an item
                    node.members = [member for member in node.members if isinstance(member[1], Array | Object)]
        return root

    def _take(self, token: re.Match[str]) -> None:
        opening, closing, comma, colon, quote, bare = token.groups()
        after_comma, self._after_comma = self._after_comma, bool(comma)
        if quote:
            self._take_string(quote)
        elif comma:
            self._end_member()
            if after_comma:
                self._note(Repair.TRAILING_COMMA)
        elif opening:
            node = Array() if opening == "[" else Object()
            self._add(node)
            self._open.append(node)
        elif closing:
            if after_comma:
                self._note(Repair.TRAILING_COMMA)
            self._close(Array if closing == "]" else Object)
        elif bare:
            self._take_bare(bare)
        elif colon:
            self._note_stray_text()

    def _note(self, repair: Repair) -> None:
        self._repairs[repair] = None

    def _note_stray_text(self) -> None:
        self._note(Repair.STRAY_TEXT)
        container = self._open[-1]
        if isinstance(container, Object):
            container.stray = True

    def _add(self, node: Node) -> None:
        container = self._open[-1]
        if isinstance(container, Array):
            container.items.append(node)
        else:
            container.members.append((container.key or "", node))
            container.key = None

    def _end_member(self) -> None:
        container = self._open[-1]
        if isinstance(container, Object) and container.key is not None:
            self._add(None)

    def _close(self, kind: type[Array | Object]) -> None:
        depth = len(self._open) - 1
        while depth >= 0 and not isinstance(self._open[depth], kind):
            depth -= 1
        if depth != len(self._open) - 1:
            self._note(Repair.MISMATCHED_BRACKET)
        if depth >= 0:
            for unclosed in self._open[depth + 1 :]:
                if isinstance(unclosed, Object):
                    unclosed.implied_end = True
            del self._open[depth:]

    def _take_bare(self, bare: str) -> None:
        container = self._open[-1]
        word = bare.strip()
        if isinstance(container, Object) and container.key is None:
            if _NAME.match(bare) and self._text.startswith(":", self._at):
                container.key = word
                self._at += 1
                self._note(Repair.UNQUOTED_KEY)
            else:
                self._note_stray_text()
        elif _LITERAL.match(bare):
            self._add(self._literal(word))
        elif word in _PYTHON_LITERALS:
            self._note(Repair.PYTHON_LITERAL)
            self._add(self._literal(word))
        else:
            self._note_stray_text()

    def _literal(self, word: str) -> Literal | None:
        return Literal(word) if self._keep_literals and word not in {"null", "None"} else None

    def _take_string(self, opener: str) -> None:
        if opener == "'":
            self._note(Repair.SINGLE_QUOTES)
        elif opener != '"':
            self._note(Repair.SMART_QUOTES)
        container = self._open[-1]
        if isinstance(container, Object) and container.key is None:
            self._take_key(container, opener)
        else:
            self._take_text(opener, in_object=isinstance(container, Object))

    def _take_key(self, container: Object, opener: str) -> None:
        start = self._at
        if not (key := _inner_quote_pattern(opener).match(self._text, start)):
            self._at = len(self._text)
            return
        self._at = self._skip_space(key.end())
        if self._text.startswith(":", self._at):
            self._at += 1
            container.key = self._text[start : key.end() - 1]
        elif self._at < len(self._text):
            self._note_stray_text()

    def _take_text(self, opener: str, *, in_object: bool) -> None:
        start = self._at
        value = _value_pattern(opener, in_object=in_object).match(self._text, start)
        if value is None or not value[2]:
            self._at = len(self._text)
            return
        self._at = self._skip_space(value.end())
        if self._at == len(self._text):
            return  # a quote at the very end may be one inside a question
        if self._text[self._at] in _OPENERS:
            self._note(Repair.MISSING_COMMA)
        body = value[1]
        if inner := _last_quote(body, opener):
            self._note(Repair.INNER_QUOTES)
            if _opens_pair(opener).match(self._text, start + inner - 1):
                self._note(Repair.UNCLEAR_QUOTES)
                return
        if "\\" in body:
            self._escaped += len(body)
            if self._escaped > MAX_ESCAPED:
                self._note(Repair.OVERLONG)
                return
        text, repairs = decode_string(body)
        for repair in repairs:
            self._note(repair)
        self._add(text)

    def _skip_space(self, position: int) -> int:
        space = _SPACE.match(self._text, position)
        return space.end() if space else position
