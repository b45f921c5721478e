"""Words that several views print."""

import unicodedata

# Line breaks and tabs are part of a text; other controls would speak to the terminal, or turn the rest around.
_KEPT = "\n\t"
_SPEAKS = {"Cc", "Zl", "Zp"}
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 question", "1,200 questions"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def name_criterion(name: str) -> str:
    """A judge's criterion as people write it."""
    return {"self_contained": "self-contained"}.get(name, name.replace("_", " "))


def harmless(text: str) -> str:
    """A text from outside with every character shown that would steer the terminal: "\\x1b" for an escape."""
    return "".join(
        each.encode("unicode_escape").decode()
        if each not in _KEPT and (unicodedata.category(each) in _SPEAKS or unicodedata.bidirectional(each) in _TURNS)
        else each
        for each in text
    )
