"""Questions as a prompt of validate or answer shows them: numbered, each between tags that its text cannot close."""

import re
from collections.abc import Mapping, Sequence

from shared.questions.prompts import FIELD_CHARACTERS, one_line

# Spaces and what is not seen may stand inside a tag that a model still reads as one.
_TAG = re.compile(r"<(?=[\s/\\\u00ad\u200b-\u200f\u2060\ufeff]{0,8}question(?![a-z]))", re.IGNORECASE)


def write_facts(facts: Mapping[str, str]) -> str:
    """The `Name: value` lines that a prompt begins with."""
    return "\n".join(f"{name}: {one_line(value, FIELD_CHARACTERS)}" for name, value in facts.items())


def write_questions(questions: Sequence[str]) -> str:
    """The questions from 1 on; a tag of ours inside a text loses its bracket, all else stays as it is."""
    return "\n".join(
        f'<question number="{number}">\n{_TAG.sub("&lt;", text)}\n</question>'
        for number, text in enumerate(questions, start=1)
    )
