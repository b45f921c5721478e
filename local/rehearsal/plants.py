"""Given questions, planted among those that the models draw: a benchmark's, say, to show that none gets in."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

DEFAULT_SHARE = 0.02


class Plants:
    """The questions to plant, dealt in an order of the seed's; all come once before any comes again."""

    def __init__(self, texts: Sequence[str] = (), share: float = DEFAULT_SHARE, seed: int = 0) -> None:
        self._texts = texts
        self._share = share
        self._order = list(range(len(texts)))
        Random(seed).shuffle(self._order)
        self._dealt = 0

    def sow(self, questions: list[str], random: Random) -> list[int]:
        """Put plants in the places of some questions; their line numbers in the file are returned."""
        planted = []
        for place in range(len(questions) if self._texts else 0):
            if random.random() < self._share:
                at = self._order[self._dealt % len(self._order)]
                self._dealt += 1
                questions[place] = self._texts[at]
                planted.append(at + 1)
        return planted


def read_plants(path: Path) -> list[str]:
    """The questions of a file: a JSON text, or an object with a `question`, on each line.

    Raises ValueError with a sentence that names the line.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return [_read(line, path, number) for number, line in enumerate(lines, start=1)]


def _read(line: str, path: Path, number: int) -> str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        row = None
    text = row.get("question") if isinstance(row, dict) else row
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'{path}, line {number}: a JSON text or {{"question": ...}} is needed')
    return text
