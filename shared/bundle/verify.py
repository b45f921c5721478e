"""Verifies a bundle from its files alone: nothing that it says of itself is taken as given that can be found out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.bundle.alike import Judge
from shared.bundle.findings import Findings
from shared.bundle.names import MANIFEST, SPLITS, jsonl_path
from shared.bundle.options import BundleOptions, options_from
from shared.bundle.read import read_manifest
from shared.bundle.row_index import index_rows
from shared.bundle.row_lines import RowLines
from shared.bundle.tally import Tally
from shared.bundle.verify_contents import contents_of, verify_contents
from shared.bundle.verify_files import verify_files
from shared.bundle.verify_rows import verified_rows
from shared.bundle.verify_splits import Placed, verify_splits

PHASES = {"rows": "comparing rows", "reading": "taking fingerprints", "splits": "looking for duplicates"}

Json = dict[str, Any]
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What was looked at, and a sentence for everything that is wrong."""

    rows: int
    episodes: int
    problems: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_bundle(folder: Path, on_progress: OnProgress = lambda *_: None) -> Found:
    """Everything of a bundle, checked again. Raises BadBundle for a folder that is none.

    What builds on something that is wrong is not looked at: a row that differs between two files has no split.
    """
    manifest = read_manifest(folder)
    findings = Findings()
    try:
        options = options_from(manifest["options"])
    except (KeyError, TypeError, ValueError, AttributeError):
        findings.add("manifest", f"{MANIFEST} does not say how the bundle was made.")
        return Found(0, 0, findings.sentences())
    if not verify_files(folder, manifest.get("files"), openai=options.openai, findings=findings):
        return Found(0, 0, findings.sentences())
    tally = Tally()
    clusters = _verify_rows(folder, options, tally, findings, lambda done: on_progress("rows", done, 0))
    if clusters is None:
        return Found(tally.rows, 0, findings.sentences())
    with RowLines([folder / jsonl_path(split) for split in SPLITS]) as rows:
        index = index_rows(rows, range(len(rows)), lambda done: on_progress("reading", done, len(rows)))

        def question(place: int) -> str:
            on_progress("splits", place, len(rows))
            text: str = rows.row(int(index.lines[place]))["question"]
            return text

        placed = Placed(index, rows.counts, [clusters[line] for line in index.lines], Judge(index, question))
        findings.take(verify_splits(placed, options, has_parent=manifest.get("parent") is not None))
        contents = contents_of(placed, options, tally)
    episodes = verify_contents(folder, manifest, options, contents, findings)
    return Found(tally.rows, episodes, findings.sentences())


def _verify_rows(
    folder: Path, options: BundleOptions, tally: Tally, findings: Findings, on_progress: Callable[[int], None]
) -> list[int] | None:
    """The cluster that each row says it is of, file after file; None where a row is not sound."""
    clusters: list[int] = []
    unsound = Findings()
    for split in SPLITS:
        for row in verified_rows(folder, split, unsound, openai=options.openai):
            tally.add(split, row)
            clusters.append(row["cluster"])
            on_progress(len(clusters))
    findings.take(unsound)
    return None if unsound else clusters
