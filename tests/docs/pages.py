"""The pages of the documentation, read as Markdown: their fenced blocks, inline code, links and headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
MARKDOWN = MarkdownIt("commonmark").enable("table")
IN_HTML = re.compile(r'(?:src|href)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Piece:
    """A block, a piece of inline code or a link's target, and where it stands.

    A block's `info` is its language, and words that say more of it: `sh docker`.
    """

    page: str
    line: int
    text: str
    info: str = ""

    @property
    def place(self) -> str:
        """As an editor finds it: "docs/backup.md:32"."""
        return f"{self.page}:{self.line}"

    @property
    def language(self) -> str:
        """The first word of a block's info."""
        return self.info.partition(" ")[0]


@dataclass(slots=True)
class Page:
    """One page; `anchors` are what links can lead to within it."""

    name: str
    blocks: list[Piece] = field(default_factory=list)
    codes: list[Piece] = field(default_factory=list)
    links: list[Piece] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)


def page_names(root: Path = ROOT) -> list[str]:
    """All pages, those beside the folder `docs` first."""
    found = sorted(path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md"))
    return [name for name in BESIDE if (root / name).is_file()] + found


def read_pages(root: Path = ROOT) -> list[Page]:
    """All pages, in the order of their names."""
    return [parse_page(name, (root / name).read_text(encoding="utf-8")) for name in page_names(root)]


def parse_page(name: str, text: str) -> Page:
    """What a page holds. Lines are counted from 1; a piece within a paragraph or table stands at its own line."""
    page = Page(name)
    heading = False
    for token in MARKDOWN.parse(text):
        first = token.map[0] + 1 if token.map else 0
        if token.type in {"fence", "code_block"}:
            opening = token.type == "fence"
            page.blocks.append(Piece(name, first + opening, token.content, token.info.strip()))
        elif token.type == "html_block":
            page.links += [Piece(name, first, target) for target in IN_HTML.findall(token.content)]
        elif token.type == "inline":
            if heading:
                page.anchors.append(_anchor(token, page.anchors))
            for piece, kind in _within(token, name, first):
                (page.codes if kind == "code" else page.links).append(piece)
        heading = token.type == "heading_open"
    return page


def _within(token: Token, page: str, line: int) -> Iterator[tuple[Piece, str]]:
    """Inline code and targets of links and images; a line break is one of the page."""
    for child in token.children or []:
        if child.type in {"softbreak", "hardbreak"}:
            line += 1
        elif child.type == "code_inline":
            yield Piece(page, line, child.content), "code"
        elif child.type in {"link_open", "image"}:
            yield Piece(page, line, str(child.attrs.get("href") or child.attrs.get("src") or "")), "link"
        elif child.type == "html_inline":
            yield from ((Piece(page, line, target), "link") for target in IN_HTML.findall(child.content))


def _anchor(heading: Token, taken: list[str]) -> str:
    """What GitHub calls a heading: small letters, no punctuation, hyphens for spaces; a repeat is numbered."""
    said = "".join(child.content for child in heading.children or [] if child.type in {"text", "code_inline"})
    plain = re.sub(r"[^\w\- ]", "", said.strip().lower()).replace(" ", "-")
    repeats = sum(each == plain or re.fullmatch(rf"{re.escape(plain)}-\d+", each) is not None for each in taken)
    return f"{plain}-{repeats}" if repeats else plain
