"""Verifies a bundle from its files alone: nothing that it says of itself is taken as given that can be found out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from shared.bundle.card import cards_of
from shared.bundle.croissant import croissant
from shared.bundle.episodes import Member, cut_episodes
from shared.bundle.findings import Findings
from shared.bundle.manifest import Contents, as_json, count_contents
from shared.bundle.names import CROISSANT, EPISODES, MANIFEST, SPLITS, BadBundle, files_of, jsonl_path
from shared.bundle.options import BundleOptions, options_from
from shared.bundle.read import read_episodes, read_manifest
from shared.bundle.row_index import RowIndex, index_rows
from shared.bundle.row_lines import RowLines
from shared.bundle.tally import Tally
from shared.bundle.verify_episodes import verify_episodes
from shared.bundle.verify_files import verify_files
from shared.bundle.verify_rows import verified_rows
from shared.bundle.verify_splits import Placed, verify_splits

PHASES = {"rows": "comparing rows", "reading": "taking fingerprints", "splits": "looking for duplicates"}
REMEMBERED_QUESTIONS = 8_192

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
    except (KeyError, TypeError, ValueError):
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

        @lru_cache(REMEMBERED_QUESTIONS)
        def question(place: int) -> str:
            on_progress("splits", place, len(rows))
            text: str = rows.row(int(index.lines[place]))["question"]
            return text

        placed = Placed(index, rows.counts, [clusters[line] for line in index.lines], question)
        verify_splits(placed, options, findings, has_parent=manifest.get("parent") is not None)
    episodes = _verify_contents(folder, manifest, options, placed, tally, findings)
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
    for sentence in unsound.sentences():
        findings.add("rows", sentence)
    return None if unsound else clusters


def _verify_contents(
    folder: Path, manifest: Json, options: BundleOptions, placed: Placed, tally: Tally, findings: Findings
) -> int:
    """Episodes, counts and cards; how many episodes there are."""
    index = placed.index
    members = [(placed.split(place), _member(index, place, placed.clusters[place])) for place in range(len(index))]
    in_files = sorted(range(len(index)), key=lambda place: index.lines[place])
    expected = [
        episode
        for split in SPLITS
        for episode in cut_episodes(
            split, (members[place][1] for place in in_files if members[place][0] == split), options.episodes
        )
    ]
    try:
        episodes = read_episodes(folder)
    except BadBundle as problem:
        findings.add(EPISODES, str(problem))
        return 0
    by_id = {member.id: (split, member) for split, member in members}
    verify_episodes(episodes, by_id, expected, options.episodes, findings)
    try:
        planned = {(cell["domain"], cell["difficulty"]): cell["planned"] for cell in manifest["cells"]}
        known = {cell: target for cell, target in planned.items() if target is not None}
        counted = count_contents(manifest, Contents(tally, members, expected), options, known)
        _compare_counts(manifest, counted, len(expected), options, findings)
        _compare_cards(folder, manifest, findings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        findings.add("manifest", f"{MANIFEST} is not as it was written: {type(error).__name__} at {error}.")
    return len(episodes)


def _member(index: RowIndex, place: int, cluster: int) -> Member:
    kind = index.domains[place], index.topics[place], index.difficulties[place]
    return Member(int(index.ids[place]), *kind, cluster)


def _compare_counts(manifest: Json, counted: Json, episodes: int, options: BundleOptions, findings: Findings) -> None:
    for name, value in counted.items():
        if manifest.get(name) != json.loads(json.dumps(value)):
            findings.add(
                "manifest", f"{MANIFEST} has other {name} than the rows make{_where(manifest.get(name), value)}."
            )
    rows: Mapping[str, int] = {
        **{
            path: counted["rows"][Path(path).stem]
            for path in files_of(openai=options.openai)
            if Path(path).stem in SPLITS
        },
        EPISODES: episodes,
    }
    for path, count in rows.items():
        if manifest["files"][path].get("rows") != count:
            findings.add(
                "manifest", f"{MANIFEST} says that {path} has {manifest['files'][path].get('rows')} rows, not {count}."
            )


def _where(said: Any, counted: Any) -> str:
    """The first place where two values part, as far as it is in a mapping."""
    if isinstance(said, dict) and isinstance(counted, dict):
        for key in (*counted, *said):
            if said.get(key) != counted.get(key):
                return f": {key}{_where(said.get(key), counted.get(key))}"
    if isinstance(said, list) and isinstance(counted, list):
        for place, (one, other) in enumerate(zip(said, counted, strict=False)):
            if one != other:
                return f", number {place + 1}{_where(one, other)}"
    return f" ({said} and not {counted})" if isinstance(counted, int | str) else ""


def _compare_cards(folder: Path, manifest: Json, findings: Findings) -> None:
    made = {path: content.encode() for path, content in cards_of(manifest).items()}
    for path, content in {**made, CROISSANT: as_json(croissant(manifest))}.items():
        if (folder / path).read_bytes() != content:
            findings.add("cards", f"{path} says something else than {MANIFEST}.")
