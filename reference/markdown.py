"""Markdown as plain viewers show it: headings with anchors, tables, fences. Pure."""

import re
from collections.abc import Iterable, Sequence

_PAGE = re.compile(r"\bdocs/((?:[\w-]+/)*([\w-]+\.md))(#[\w-]+)?")
_VARIABLE = re.compile(r"(?<![`\w])(QUESTMILL_[A-Z_]+)(?![`\w])")


def slug(heading: str) -> str:
    """The anchor that viewers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(heading: str, *, text: str | None = None, page: str = "") -> str:
    """A link to a heading, of this page or of another one of the reference."""
    return f"[{text or heading}]({page}#{slug(heading)})"


def prose(text: str) -> str:
    """A text of the code: pages that it names are linked, variables are code, backslashes stay."""
    literal = text.replace("\\", r"\\").replace("```", r"\`\`\`")
    linked = _PAGE.sub(lambda found: f"[{found[2]}](../{found[1]}{found[3] or ''})", literal)
    return _VARIABLE.sub(r"`\1`", linked)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table with an empty line behind it; none for no rows."""
    lines = [_row([_in_cell(cell) for cell in row]) for row in rows]
    return [_row(headings), _row(["---"] * len(headings)), *lines, ""] if lines else []


def fence(kind: str, text: str) -> list[str]:
    """A block of code."""
    return [f"```{kind}", *text.rstrip("\n").split("\n"), "```", ""]


def paragraphs(text: str) -> list[str]:
    """Paragraphs of a text, each in a line, with an empty line behind it."""
    return [line for each in text.strip().split("\n\n") if each.strip() for line in (prose(" ".join(each.split())), "")]


def sentence(text: str) -> str:
    """It begins with a capital and ends with a point."""
    return f"{text[:1].upper()}{text[1:]}{'' if not text or text[-1] in '.:?' else '.'}"


def either(names: Sequence[str]) -> str:
    """ "`a`, `b` or `c`"."""
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} or {last}" if most else last


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _in_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
