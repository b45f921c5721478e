"""Whether the fenced Python and JSON of an answer can be read. Nothing is run, and what is unclear is left open."""

import ast
import re
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import orjson

MOST_CHARACTERS = 20_000
MOST_BLOCKS = 50
MOST_BRACKETS = 800
"""Opened in JSON that is said to be wrong: the reader gives up at 1,024 open at once."""
_FENCE = re.compile(r"[ \t]{0,12}(`{3,}|~{3,})[ \t]*([\w+.#-]{0,20})[^\n]{0,200}")
_PYTHON = {"python", "py", "python3"}
# Somebody may have asked for what cannot be read, or the answer may show it on purpose.
_MEANS_BROKEN = re.compile(
    r"\b(?:errors?|\w*error|bugs?|buggy|broken|invalid|incorrect\w*|wrong\w*|fix\w*|debug\w*|malformed|corrupt\w*|mistakes?"
    r"|pseudo-?code|python\s*2\S*|template\w*|placeholders?|incomplete|fragment\w*|truncated|repair\w*|fail\w*)\b",
    re.IGNORECASE,
)
_UNCLEAR_PYTHON = re.compile(
    r"\.\.\.|\u2026|<\w[\w ]*>|\{\{|^[-+<>]{3}\s|^@@|^[ \t]*(?:>>>|In \[|[%!$?])"  # left out, a session
    r"|^[ \t]*(?:print|exec)[ \t]+[^\s(=.,:\[]|^[ \t]*except[ \t]+[\w.]+[ \t]*,|^[ \t]*raise[ \t]+\w+[ \t]*,|<>"
    r"|\bur?['\"]|\b0\d"  # Python 2
    r"|^[ \t]*(?:elif|else|except|finally|case)\b"  # a piece of something
    r"|^[ \t]*type[ \t]+\w+|^[ \t]*(?:def|class)[ \t]+\w+[ \t]*\[|\d{4000}",  # of a newer Python, or beyond this one
    re.MULTILINE,
)
_UNCLEAR_JSON = re.compile(
    r"\.\.\.|\u2026|//|/\*|^[ \t]*#|<\w[\w ]*>|\{\{|\$\{|\b(?:NaN|Infinity|undefined)\b"
    r"|\\u[dD][89a-fA-F]|[\ufeff\ud800-\udfff]",
    re.MULTILINE,
)
_F_STRING = re.compile(r"\b[fFtT][rR]?['\"]|\b[rR][fFtT]['\"]")
# Python's parser goes down one level for each of these; a thread with a small stack would end the whole process.
_DEEP = re.compile(r"(?:[-+~]\s*+){40}|(?:\bnot\s++){40}|(?:\blambda\b[^:\n]{0,80}:\s*+){40}|(?:\*\*[^*\n]{0,9}){40}")
_LIMITS = re.compile(r"too many|too deeply|exceeds the limit", re.IGNORECASE)  # of this parser, not of the language
_parsing = threading.Lock()


class Block(NamedTuple):
    """A fenced block: the language it names, folded, and its text."""

    language: str
    text: str


def find_blocks(answer: str) -> Iterator[Block]:
    """The fenced blocks of an answer that are closed."""
    fence, language, lines = "", "", list[str]()
    for line in answer.split("\n"):
        mark = _FENCE.fullmatch(line.rstrip("\r"))
        if not fence:
            if mark:
                fence, language, lines = mark[1], mark[2].casefold(), []
        elif mark and mark[1].startswith(fence) and line.strip() == mark[1]:
            yield Block(language, "\n".join(lines))
            fence = ""
        else:
            lines.append(line)


def check_blocks(question: str, answer: str, *, python: bool) -> tuple[bool, str] | None:
    """Whether all Python (if asked) and JSON blocks of an answer can be read, and what was read.

    None without such a block, and wherever a block that cannot be read might be meant so. Takes bounded time.
    """
    languages = _PYTHON | {"json"} if python else {"json"}
    blocks = [block for block in islice(find_blocks(answer), MOST_BLOCKS) if block.language in languages]
    if sum(len(block.text) for block in blocks) > MOST_CHARACTERS:
        return None
    read = 0
    for block in blocks:
        parses, reason = (_parse_json if block.language == "json" else _parse_python)(block.text)
        if parses is False:
            if _MEANS_BROKEN.search(question[:MOST_CHARACTERS]) or _MEANS_BROKEN.search(answer[: 2 * MOST_CHARACTERS]):
                return None
            return False, reason
        read += parses is True
    return (True, f"{read} of {len(blocks)} blocks read") if read else None


def _parse_python(code: str) -> tuple[bool | None, str]:
    """Whether the code parses, and why not; None where that is not certain or not safe to find out."""
    code = textwrap.dedent(code.replace("\r\n", "\n"))
    if not code.strip() or "\0" in code or _DEEP.search(code):
        return None, ""
    try:
        # An unknown escape such as "\d" is a warning; where warnings are errors it would be one.
        with _parsing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        line = (error.text or "").strip()
        if _LIMITS.search(error.msg) or _UNCLEAR_PYTHON.search(code) or _is_newer(line):
            return None, ""
        return False, f"Python, line {error.lineno}: {error.msg}"[:200]
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return None, ""
    return True, ""


def _is_newer(line: str) -> bool:
    """Whether a line may be right in a newer Python than the one that runs here."""
    return sys.version_info < (3, 12) and _F_STRING.search(line) is not None


def _parse_json(text: str) -> tuple[bool | None, str]:
    """Whether the text is JSON, one value or one a line, and why not; None where that is not certain."""
    if not text.strip():
        return None, ""
    reason = _refuse_json(text)
    if reason is None or not any(map(_refuse_json, text.strip().split("\n"))):
        return True, ""
    if _UNCLEAR_JSON.search(text) or text.count("[") + text.count("{") > MOST_BRACKETS:
        return None, ""
    if not text.lstrip().startswith(("{", "[")) or _refuse_json(f"[{text}]") is None:
        return None, ""
    return False, f"JSON: {reason}"[:200]


def _refuse_json(text: str) -> str | None:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return str(error)
    return None
