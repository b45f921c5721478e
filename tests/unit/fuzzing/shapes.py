"""Texts that break parsers: pieces that open, close, escape and repeat, in patterns of any length."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st

PIECES = (
    "[", "]", "{", "}", "[]", "{}", "\\", "\\\\", '\\"', '"', "'", "“", "”", "„", "‘", "`", "```",  # noqa: RUF001
    "```json\n", "~~~", ",", ", ", ":", "\n", "\r\n", " ", "\t", "\ufeff", "\0", "1", "0.", "1e9",
    "-", "+", "1,", "1.1,", "1/1 ", '"a",', '"a":', '{"a":', '{"questions":["', '{"question":"a"},',
    '{"answers":[', '{"verdicts":[', '{"number":1,"answer":"a"},', '{"number":1,', '{"1":"a",', "$",
    "$$", "\\(", "\\)", "\\begin{", "\\frac{", "\\ne", "\\nabla ", "\\u0041", "\\ud800", "<think>",
    "</think>", "Q: ", "1. ", "**", "*", "# ", "answer:", "\nanswer:", '"questions":', "true,",
    "None,", "a", "é", "e\u0301\u0323", "\u0f73", "\U0001f95a", "ten-", "twenty-five ", "!", "?",
    "?!", " .", "...", "…", "<", "&lt;", "//", "a: ", "x=1;", "==", "(", ")", "1+1=", "2*", "^",
    "The answer is ", "As an AI ", "A) ", "```python\n", "return ", "[insert ", "\\boxed{", "Der ",
    "中", "e.g. ", "Mr. ",
)  # fmt: skip
HEADS = (
    "", '{"questions":["a","', '["', '[{"question":"', '{"answers":[{"number":1,"answer":"',
    "{'questions':['", "Here: ", '{"answers":[{"number":1,"answer":"a"},',
    '{"verdicts":[{"number":1,"reason":"', "<think>", '```json\n{"questions":["',
)  # fmt: skip
TAILS = ("", '"]}', '"}]}', '","b",]}', "'", "```", "</think>", "x", ":", ".", "?")

SOME = int(os.environ.get("QUESTMILL_FUZZ_EXAMPLES", "0"))
"""How many examples each fuzzer tries; by default few enough for `./run test`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A text of any length: a head, pieces in turn or each in a block of its own, a tail."""

    head: str
    pieces: tuple[str, ...]
    in_blocks: bool
    tail: str

    def text(self, characters: int) -> str:
        """The shape at about this length."""
        if self.in_blocks:
            share = characters // len(self.pieces)
            body = "".join(piece * (share // len(piece)) for piece in self.pieces)
        else:
            unit = "".join(self.pieces)
            body = unit * (characters // len(unit))
        return f"{self.head}{body}{self.tail}"


shapes = st.builds(
    Shape,
    st.sampled_from(HEADS),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.sampled_from(TAILS),
)
nasty_texts = (
    st.text(max_size=200)
    | st.lists(st.sampled_from((*PIECES, *HEADS, *TAILS)), max_size=60).map("".join)
    | st.builds(Shape.text, shapes, st.integers(0, 400))
)


def fuzzed(few: int) -> settings:
    """So many examples in `./run test`, more in `./run test-hostile`."""
    return settings(max_examples=SOME or few)


def fuzzed_at_length(few: int) -> settings:
    """The same for texts that take long."""
    return settings(max_examples=SOME // 20 or few)


Reader = Callable[[str], object]
