"""What is kept in memory of each row to decide on its split: its kind and its fingerprint, some 400 bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sys import intern

import numpy as np
from numpy.typing import NDArray

from shared.bundle.episodes import Member
from shared.bundle.fields import topic_of
from shared.bundle.row_lines import RowLines
from shared.bundle.splits import Kind
from shared.corpus.fingerprint import fingerprint_many
from shared.corpus.minhash import BANDS

ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class RowIndex:
    """Columns of rows in the order of their ids; `lines[n]` is where row n stands in the file.

    `bands` has shape (rows, 12); hashes and templates are those of the questions' fingerprints.
    """

    lines: NDArray[np.int64]
    ids: NDArray[np.int64]
    domains: Sequence[str]
    topics: Sequence[str]
    difficulties: Sequence[str]
    text_hashes: Sequence[bytes]
    templates: Sequence[int]
    bands: NDArray[np.int64]
    sketches: Sequence[int]

    def __len__(self) -> int:
        return len(self.ids)

    def kind(self, place: int) -> Kind:
        """What the split of a row is decided from."""
        return Kind(self.domains[place], self.topics[place], self.difficulties[place], self.text_hashes[place])

    def member(self, place: int, cluster: int) -> Member:
        """What an episode is made of."""
        kind = self.domains[place], self.topics[place], self.difficulties[place]
        return Member(int(self.ids[place]), *kind, cluster)


def index_rows(
    rows: RowLines, lines: Sequence[int] | NDArray[np.int64], on_progress: Callable[[int], None] = lambda _: None
) -> RowIndex:
    """The index of these lines; `on_progress` is told how many are read."""
    ids: list[int] = []
    kinds: list[tuple[str, str, str]] = []
    text_hashes: list[bytes] = []
    templates: list[int] = []
    sketches: list[int] = []
    bands = np.empty((len(lines), BANDS), dtype=np.int64)
    for first in range(0, len(lines), ROWS_AT_ONCE):
        some = [rows.row(int(line)) for line in lines[first : first + ROWS_AT_ONCE]]
        prints = fingerprint_many([row["question"] for row in some])
        ids += [row["id"] for row in some]
        kinds += [(intern(row["domain"]), intern(topic_of(row["tags"])), intern(row["difficulty"])) for row in some]
        text_hashes += [its.text_hash for its in prints]
        templates += [its.template_hash for its in prints]
        sketches += [its.sketch for its in prints]
        bands[first : first + len(some)] = [its.bands for its in prints]
        on_progress(len(ids))
    order = np.argsort(np.array(ids, dtype=np.int64), kind="stable")
    return RowIndex(
        lines=np.array(lines, dtype=np.int64)[order],
        ids=np.array(ids, dtype=np.int64)[order],
        domains=[kinds[place][0] for place in order],
        topics=[kinds[place][1] for place in order],
        difficulties=[kinds[place][2] for place in order],
        text_hashes=[text_hashes[place] for place in order],
        templates=[templates[place] for place in order],
        bands=bands[order],
        sketches=[sketches[place] for place in order],
    )
