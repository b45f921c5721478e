r"""The text inside a JSON string, as the model meant it.

Models forget to double the backslashes of LaTeX. JSON refuses some of those escapes (`\alpha`, `\sqrt`) and reads the
others as control characters: `\frac` as a form feed and "rac", `\nabla` as a line break and "abla". The rules:

- An escape that JSON does not know keeps its backslash; `\'` is an apostrophe; `\u` needs its four hex digits.
- `\b` and `\f` always keep theirs: no question holds a backspace or a form feed.
- `\n`, `\r`, `\t` keep theirs if the whole run of letters is the name of a LaTeX command (`\nabla`, `\times`, `\rho`,
  but not `\nThe` or `\ttab`), because what would be left after a line break or tab is no word ("abla", "imes").
- Where something is left that could well start a line or a cell (`\nu`, `\ne`, `\to`, `\nless`), the context decides:
  in mathematics it is the command; elsewhere it depends on whether the string doubles its backslashes, on what
  stands before, and on whether an assignment follows, as in code.
- `\\` is one backslash; but between a `\begin{...}` and `\end{...}` written with single ones it is a row's end.

So the decoded text of valid JSON is the one that JSON defines, except where it holds a backspace, a form feed, or a
line break, return or tab directly followed by the rest of a command's name.
"""

import re
from bisect import bisect_right
from enum import Enum, auto
from operator import attrgetter
from typing import NamedTuple

import orjson

from shared.questions.repairs import Repair

# What is left of these after a line break or tab starts no word of English or of code. A return is never meant.
_SURE_NAMES = """
    nabla nearrow neg neq newcommand newline newpage ngeq ngeqq ngeqslant ngtr nicefrac nLeftarrow nleftarrow
    nLeftrightarrow nleftrightarrow nleq nleqq nleqslant nobreak nobreakspace nocite noindent nolimits nonumber
    norm normalfont normalsize not notag notin nrightarrow nRightarrow nshortmid nshortparallel nsubseteq
    nsubseteqq nsupseteq nsupseteqq ntriangleleft ntrianglelefteq ntriangleright ntrianglerighteq nVDash nvdash
    nvDash nVdash nwarrow
    raggedright raisebox rangle rank rbrace rbrack rceil ref relax renewcommand resizebox restriction rfloor
    rgroup rhd rho right rightarrow rightarrowtail rightharpoondown rightharpoonup rightleftarrows
    rightleftharpoons rightrightarrows rightsquigarrow rightthreetimes risingdotseq rlap rm rmoustache root
    rtimes rule rvert rVert
    tabcolsep tableofcontents tag tanh tau tbinom tensor text textasciitilde textbackslash textbf textcelsius
    textcircled textcolor textdegree textit textmd textnormal textrm textsc textsf textsl textstyle
    textsubscript textsuperscript texttt textunderscore textup textwidth tfrac therefore theta thetasym
    thickapprox thicksim thickspace thinspace tilde times tiny title today toprule triangle triangledown
    triangleleft trianglelefteq triangleq triangleright trianglerighteq twoheadleftarrow twoheadrightarrow
"""
_LETTER_NAMES = "ne ni nu num tan to top"  # leave a letter or a syllable
_WORD_NAMES = "ncong nexists nless nmid nparallel nprec npreceq nsim nsucc nsucceq"  # leave a word
_SURE, _LETTERS, _WORDS = (frozenset(names.split()) for names in (_SURE_NAMES, _LETTER_NAMES, _WORD_NAMES))


def _pattern_of(names: frozenset[str]) -> str:
    """Any of the names, as a whole run of letters; by first letter, for speed."""
    rests = {first: "|".join(sorted(name[1:] for name in names if name[0] == first)) for first in "nrt"}
    return f"(?:{'|'.join(f'{first}(?:{rest})' for first, rest in rests.items())})(?![A-Za-z])"


_DAMAGE = re.compile(rf"\\(?:[bf]|{_pattern_of(_SURE | _LETTERS | _WORDS)})")
_ESCAPE = re.compile(r"\\(?:([bfnrt])([A-Za-z]*+)|u([0-9A-Fa-f]{4})|([\"'\\/])|)")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}
_RAW_CONTROL = re.compile("[\0-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_EVEN = r"(?<!\\)(?:\\\\)*+"  # before an escape's backslash
_SINGLE = re.compile(rf"{_EVEN}\\(?:[^\"'\\/nrtu]|{_pattern_of(_SURE)})")
_DOUBLE = re.compile(r"(?<!\\)(?:\\\\)++[A-Za-z()\[\]{}]")
_ROWS = re.compile(rf"{_EVEN}\\begin\{{")
_MATH_SIGN = re.compile(r"\$\$?|\\{1,2}(?:[()\[\]]|begin\{|end\{)")
_CLOSERS = {"$": "$", "$$": "$$", "(": ")", "[": "]", "begin{": "end{"}

_ASSIGNMENT = re.compile(r"\s*[-+*/]?=(?!=)")
_COMMAND_GOES_ON = re.compile(r"[\^{}]|_\{|\\\\?(?![nrt\"])[A-Za-z]")


class _Style(Enum):
    """How a string writes its backslashes."""

    RAW = auto()  # at least one that must be single, none doubled
    DOUBLED = auto()  # some doubled, none single
    UNKNOWN = auto()


class _Span(NamedTuple):
    """A stretch of mathematics."""

    start: int
    end: int
    display: bool


def looks_damaged(json_text: str) -> bool:
    """Whether JSON text holds an escape that JSON might read otherwise than the model meant it."""
    return "\\" in json_text and _DAMAGE.search(json_text) is not None


def decode_string(body: str) -> tuple[str, tuple[Repair, ...]]:
    """The text that a JSON string's `body` (between its quotes) stands for, and what had to be repaired."""
    repairs: tuple[Repair, ...] = ()
    if "\\" not in body:
        text = body
    elif looks_damaged(body) or (loaded := _load(body)) is None:
        text, repairs = _Decoder(body).decode()
    else:
        return loaded, ()
    if _RAW_CONTROL.search(body):
        repairs = (*repairs, Repair.RAW_CONTROL)
    if _SURROGATE.search(text):
        text = _SURROGATE_PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
        if _SURROGATE.search(text):
            text, repairs = _SURROGATE.sub("\ufffd", text), (*repairs, Repair.LONE_SURROGATE)
    return text, repairs


def _load(body: str) -> str | None:
    try:
        loaded: str = orjson.loads(f'"{body}"')
    except orjson.JSONDecodeError:
        return None
    return loaded


class _Decoder:
    """One pass over a string that is no valid JSON, or that is and may not mean what JSON says."""

    def __init__(self, body: str) -> None:
        self.body = body
        self.repairs: dict[Repair, None] = {}
        self._rows = _ROWS.search(body) is not None
        self._known_style: _Style | None = None
        self._known_math: list[_Span] | None = None

    def decode(self) -> tuple[str, tuple[Repair, ...]]:
        """The text and the repairs it took."""
        parts: list[str] = []
        end = 0
        for escape in _ESCAPE.finditer(self.body):
            parts += (self.body[end : escape.start()], self._meaning(escape))
            end = escape.end()
        parts.append(self.body[end:])
        return "".join(parts), tuple(self.repairs)

    def _meaning(self, escape: re.Match[str]) -> str:
        kind, rest, code, plain = escape.groups()
        if kind:
            if kind in "bf" or self._is_command(kind + rest, escape):
                self.repairs[Repair.LATEX_ESCAPE] = None
                return escape[0]
            return _PLAIN[kind] + rest
        if code:
            return chr(int(code, 16))
        if plain == "\\" and self._ends_row(escape):
            self.repairs[Repair.LATEX_ESCAPE] = None
            return escape[0]
        if plain and plain != "'":
            return plain
        self.repairs[Repair.INVALID_ESCAPE] = None
        return plain or "\\"

    def _ends_row(self, escape: re.Match[str]) -> bool:
        if not self._rows or (span := self._math_at(escape.start())) is None or not span.display:
            return False
        following = self.body[escape.end() : escape.end() + 2]
        before = self.body[escape.start() - 1 : escape.start()]
        doubled_row = before == "\\" or following == "\\\\"
        return not doubled_row and not (following.isalpha() and following.isascii() and len(following) == 2)

    def _is_command(self, name: str, escape: re.Match[str]) -> bool:
        if name in _SURE:
            # `eq` is what programs in SymPy and tests call an equation.
            return name != "neq" or _ASSIGNMENT.match(self.body, escape.end()) is None
        if name in _LETTERS or name in _WORDS:
            return self._reads_as_mathematics(name, escape.start(), escape.end())
        return False

    def _reads_as_mathematics(self, name: str, start: int, end: int) -> bool:
        before = self.body[max(0, start - 2) : start]
        if before.endswith(("^", "_", "^{", "_{")):
            return True
        if (span := self._math_at(start)) is not None:
            begins_line = before[-1:] in {"$", "[", "}", "\\", ",", "\n"}
            return not (span.display and begins_line and self._style() is _Style.DOUBLED)
        return self._stands_alone(name, before[-1:], end)

    def _stands_alone(self, name: str, before: str, end: int) -> bool:
        """Whether it is a command outside of any marked mathematics."""
        following = self.body[end : end + 1]
        if _ASSIGNMENT.match(self.body, end):
            return False
        if not before or _COMMAND_GOES_ON.match(self.body, end) or (name == "tan" and following == "("):
            return True
        if self._style() is _Style.RAW:
            return before not in set(".:;?!,)$>\n")
        if name in _WORDS or self._style() is _Style.DOUBLED:
            return False
        if name == "to" and following == " " and before.isalnum():
            return True
        return before == " " and (following == " " or following.isdigit())

    def _style(self) -> _Style:
        if self._known_style is None:
            single, doubled = _SINGLE.search(self.body) is not None, _DOUBLE.search(self.body) is not None
            self._known_style = _Style.UNKNOWN if single == doubled else _Style.RAW if single else _Style.DOUBLED
        return self._known_style

    def _math_at(self, position: int) -> _Span | None:
        if self._known_math is None:
            self._known_math = _find_mathematics(self.body)
        index = bisect_right(self._known_math, position, key=attrgetter("start")) - 1
        span = self._known_math[index] if index >= 0 else None
        return span if span and position < span.end else None


def _find_mathematics(body: str) -> list[_Span]:
    r"""Where `$..$`, `$$..$$`, `\(..\)`, `\[..\]` and environments start and end; only what is closed counts.

    A single dollar sign opens only before and closes only after something that is no space, and closes before no
    digit, so that prices are no mathematics (Pandoc's rule for `tex_math_dollars`).
    """
    spans: list[_Span] = []
    opener, opened_at, depth = "", 0, 0
    for sign in _MATH_SIGN.finditer(body):
        start, end = sign.span()
        mark = sign[0].lstrip("\\")
        closes_dollar = not body[start - 1 : start].isspace() and not body[end : end + 1].isdigit()
        if opener and mark == opener == "begin{":
            depth += 1
        elif opener and mark == _CLOSERS[opener] and (mark != "$" or closes_dollar):
            if depth:
                depth -= 1
            else:
                spans.append(_Span(opened_at, end, display=opener not in {"$", "("}))
                opener = ""
        elif opener in {"", "$"} and mark in _CLOSERS and (mark != "$" or not body[end : end + 1].isspace()):
            opener, opened_at = mark, start
    return spans
