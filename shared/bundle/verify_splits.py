"""Whether each row is in the split where it belongs, and in the cluster of what it repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.bundle.alike import Judge, Kept, find_clusters
from shared.bundle.findings import Findings
from shared.bundle.names import SPLITS, jsonl_path
from shared.bundle.options import BundleOptions
from shared.bundle.row_index import RowIndex
from shared.bundle.splits import assign, held_out_split, place_in_order


@dataclass(frozen=True, slots=True)
class Placed:
    """The rows of all files: `counts` of each split, in the order of the lines of the index; the clusters as written.

    `clusters[n]` is of row n of the index.
    """

    index: RowIndex
    counts: Sequence[int]
    clusters: Sequence[int]
    judge: Judge

    def split(self, place: int) -> str:
        """The split that a row is in."""
        return self.where(place)[0]

    def where(self, place: int) -> tuple[str, int]:
        """The split and the number of the row in its file, from 1."""
        line = int(self.index.lines[place])
        for split, count in zip(SPLITS, self.counts, strict=True):
            if line < count:
                return split, line + 1
            line -= count
        raise IndexError(place)

    def named(self, place: int) -> str:
        """The file and the row, for a person."""
        split, number = self.where(place)
        return f"{jsonl_path(split)}, row {number:,} (id {self.index.ids[place]})"


def verify_splits(placed: Placed, options: BundleOptions, *, has_parent: bool) -> Findings:
    """Ids, hold-outs, clusters, order; and each split anew, unless a parent has decided on some that is not at hand."""
    findings = Findings()
    _verify_ids(placed, findings)
    if findings:
        return findings  # what repeats an id is met again in everything below
    _verify_hold_outs(placed, options, findings)
    _verify_clusters(placed, findings)
    _verify_order(placed, options.order_seed, findings)
    if not has_parent and not findings:
        _verify_assignment(placed, options, findings)
    return findings


def _verify_ids(placed: Placed, findings: Findings) -> None:
    ids = placed.index.ids
    for place in range(1, len(ids)):
        if ids[place] == ids[place - 1]:
            findings.add("ids", f"{placed.named(place)} has the id of {placed.named(place - 1)}.")


def _verify_hold_outs(placed: Placed, options: BundleOptions, findings: Findings) -> None:
    for place in range(len(placed.index)):
        its = placed.index.kind(place)
        wanted = held_out_split(its, options.splits)
        if wanted not in {None, placed.split(place)}:
            held = f"{its.domain}, topic {its.topic}"
            findings.add("hold-outs", f"{placed.named(place)} is of {held}, which is held out for {wanted}.")


def _verify_clusters(placed: Placed, findings: Findings) -> None:
    ids = placed.index.ids
    oldest: dict[int, int] = {}
    for members in find_clusters(placed.judge, range(len(ids))):
        for place in members:
            oldest[place] = members[0]
            if placed.split(place) != placed.split(members[0]):
                findings.add("clusters", f"{placed.named(place)} repeats {placed.named(members[0])} of another split.")
    for place, said in enumerate(placed.clusters):
        wanted = int(ids[oldest.get(place, place)])
        if said != wanted:
            findings.add("clusters", f"{placed.named(place)} has the cluster {said}, and it belongs to {wanted}.")


def _verify_order(placed: Placed, seed: int, findings: Findings) -> None:
    index = placed.index
    before: Mapping[str, tuple[bytes, int]] = {}
    for place in sorted(range(len(index)), key=lambda place: index.lines[place]):
        key = place_in_order(seed, index.text_hashes[place]), int(index.ids[place])
        split = placed.split(place)
        if split in before and before[split] > key:
            findings.add("order", f"{placed.named(place)} stands behind rows that its text comes before.")
        before = {**before, split: key}


def _verify_assignment(placed: Placed, options: BundleOptions, findings: Findings) -> None:
    """Rows that were left out bound nobody: those that are here get the same splits without them."""
    index = placed.index
    assigned = assign(range(len(index)), index.kind, Kept(placed.judge), options.splits)
    for place, split in assigned.splits.items():
        if placed.split(place) != split:
            findings.add("splits", f"{placed.named(place)} belongs to {split}.")
    for torn in assigned.torn:
        findings.add("splits", f"{placed.named(torn.place)} repeats rows of several splits.")
