"""What stands around the lists in a model's reply."""

import re
from collections.abc import Iterator, Sequence

from shared.questions.json_scan import Found
from shared.questions.repairs import Repair

_FENCE = re.compile(r"```[\w-]*|~~~[\w-]*")


def list_start(key: str) -> re.Pattern[str]:
    """The pattern of a place where the object with the list called `key` must start."""
    return re.compile(rf"[{{\[]\s*+[\"'\u201c\u2018]?{key}[\"'\u201d\u2019]?\s*+:", re.IGNORECASE)


def end_of_reasoning(text: str) -> int:
    """Where the answer starts behind the draft that a local reasoning model leaves in its reply."""
    return max(text.rfind("</think>"), 0) if text.lstrip("\ufeff\n ").startswith("<think>") else 0


def name_surroundings(text: str, used: Sequence[Found]) -> Iterator[Repair]:
    """What stands in `text` outside of the values that were used."""
    edges = [0, *(edge for found in used for edge in (found.start, found.end)), len(text)]
    outside = " ".join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    prose, fences = _FENCE.subn("", outside.replace("\ufeff", ""))
    if fences:
        yield Repair.CODE_FENCE
    if prose.strip(" \t\r\n,;]}"):
        yield Repair.PROSE_AROUND
