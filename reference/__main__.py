"""`./run reference`: write docs/reference/ from the code, or say whether it is as the code would have it."""

import argparse
import sys
from collections.abc import Mapping
from difflib import unified_diff
from pathlib import Path

from reference.pages import ROOT, make_pages

FOLDER = ROOT / "docs" / "reference"


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="./run reference", description="Write docs/reference/ from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page differs")
    return parser


def main() -> int:
    """0; with --check 1 when a page differs."""
    arguments = make_parser().parse_args()
    pages = make_pages()
    if arguments.check:
        differences = compare(pages, FOLDER)
        sys.stdout.writelines(differences)
        if differences:
            sys.stderr.write("docs/reference/ is not what the code says: ./run reference writes it anew.\n")
        return 1 if differences else 0
    FOLDER.mkdir(exist_ok=True)
    for name in _others(pages, FOLDER):
        (FOLDER / name).unlink()
    for name, text in pages.items():
        (FOLDER / name).write_text(text)
    return 0


def compare(pages: Mapping[str, str], folder: Path) -> list[str]:
    """Lines of a diff from what is there to what should be; none when all is as it should be."""
    lines = [f"{name}: nothing in the code leads to this page\n" for name in _others(pages, folder)]
    for name, text in pages.items():
        path = folder / name
        there = path.read_text() if path.exists() else ""
        lines += unified_diff(
            there.splitlines(keepends=True), text.splitlines(keepends=True), name, f"{name}, by the code"
        )
    return lines


def _others(pages: Mapping[str, str], folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.md") if path.name not in pages)


if __name__ == "__main__":
    sys.exit(main())
