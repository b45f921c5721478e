"""Makes a bundle out of an export: decides on splits and episodes, then writes every file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from shared.bundle.alike import Judge, Kept, find_clusters
from shared.bundle.card import cards_of
from shared.bundle.croissant import croissant
from shared.bundle.episodes import Episode, Member, cut_episodes
from shared.bundle.fields import Row, bundle_row
from shared.bundle.manifest import Contents, as_json, describe_files, make_manifest
from shared.bundle.names import CROISSANT, EPISODES, MANIFEST, SPLITS, BadBundle
from shared.bundle.options import BundleOptions, Origin
from shared.bundle.parent import Parent
from shared.bundle.row_index import RowIndex, index_rows
from shared.bundle.row_lines import RowLines
from shared.bundle.split_files import write_split
from shared.bundle.splits import Kind, Torn, assign, place_in_order
from shared.bundle.tally import Tally

# Told what is being done, how much of it is, and of how much.
OnProgress = Callable[[str, int, int], None]


def build_bundle(
    export: Path,
    folder: Path,
    origin: Origin,
    options: BundleOptions,
    *,
    parent: Parent | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> dict[str, Any]:
    """Write a bundle of exported JSON lines into an empty folder; its manifest.

    Raises BadBundle when nothing is answered. The same rows, options and origin make the same bytes.
    """
    with RowLines([export]) as rows:
        decided = _decide(rows, origin, options, parent, on_progress)
        tally = Tally()
        episodes: list[Episode] = []
        for split in SPLITS:
            places = decided.in_order(split, options.order_seed)

            def made(split: str = split, places: Sequence[int] = places) -> Iterator[Row]:
                for row in decided.rows(rows, places):
                    tally.add(split, row)
                    on_progress("writing", tally.rows, len(decided.splits))
                    yield row

            write_split(folder, split, made(), openai=options.openai)
            episodes += cut_episodes(split, map(decided.member, places), options.episodes)
        (folder / EPISODES).write_bytes(
            b"".join(orjson.dumps(each.to_json(), option=orjson.OPT_APPEND_NEWLINE) for each in episodes)
        )
        members = [(decided.splits[place], decided.member(place)) for place in sorted(decided.splits)]
        by_id = {member.id: split for split, member in members}
        manifest = make_manifest(
            origin,
            options,
            Contents(tally, members, episodes),
            decided.left_out(origin.contaminated),
            parent.to_json(by_id) if parent else None,
        )
    return _describe(folder, manifest, len(episodes))


@dataclass(frozen=True, slots=True)
class _Decided:
    """Where each row goes: `splits` and `clusters` by place in the index."""

    index: RowIndex
    splits: Mapping[int, str]
    clusters: Mapping[int, int]
    torn: Sequence[Torn]
    unanswered: int

    def in_order(self, split: str, seed: int) -> list[int]:
        """The places of a split's rows as they stand in its file."""
        hashes, ids = self.index.text_hashes, self.index.ids
        chosen = [place for place, its in self.splits.items() if its == split]
        return sorted(chosen, key=lambda place: (place_in_order(seed, hashes[place]), ids[place]))

    def rows(self, rows: RowLines, places: Sequence[int]) -> Iterator[Row]:
        """The rows at these places as they are written."""
        for place in places:
            yield bundle_row(rows.row(int(self.index.lines[place])), self._cluster(place))

    def member(self, place: int) -> Member:
        """What an episode is made of."""
        return self.index.member(place, self._cluster(place))

    def left_out(self, contaminated: int) -> dict[str, Any]:
        """Which rows are not in the bundle, as the manifest has it."""
        ids = self.index.ids.tolist()
        torn = [(ids[each.place], sorted(ids[other] for other in each.repeats)) for each in self.torn]
        return {
            "unanswered": self.unanswered,
            "contaminated": contaminated,
            "torn": [{"id": each, "repeats": repeats} for each, repeats in sorted(torn)],
        }

    def _cluster(self, place: int) -> int:
        return int(self.index.ids[self.clusters.get(place, place)])


def _decide(
    rows: RowLines, origin: Origin, options: BundleOptions, parent: Parent | None, on_progress: OnProgress
) -> _Decided:
    answered = [line for line, row in enumerate(rows) if row["answer"]]
    if not answered:
        raise BadBundle(
            f"No question of {origin.dataset} has an answer, which a trainer needs; "
            'let a job with "stages: [answer]" answer them, then export again.'
        )
    index = index_rows(rows, answered, lambda done: on_progress("reading", done, len(answered)))

    def question(place: int) -> str:
        text: str = rows.row(int(index.lines[place]))["question"]
        return text

    def kind(place: int) -> Kind:
        on_progress("comparing", place, len(index))
        return index.kind(place)

    judge = Judge(index, question)
    settled = {}
    if parent is not None:
        settled = {place: parent.splits[its] for place, its in enumerate(index.ids.tolist()) if its in parent.splits}
    assigned = assign(range(len(index)), kind, Kept(judge), options.splits, settled)
    splits, torn = dict(assigned.splits), list(assigned.torn)
    # Oldest first, as whoever verifies it compares them. That finds no more, but where a parent's rows came first.
    while True:
        clusters = find_clusters(judge, sorted(splits))
        astray = [each for members in clusters for each in _astray(members, splits, settled)]
        if not astray:
            break
        for each in astray:
            torn.append(each)
            del splits[each.place]
    by_place = {place: members[0] for members in clusters for place in members}
    return _Decided(index, splits, by_place, torn, len(rows) - len(answered))


def _astray(members: Sequence[int], splits: Mapping[int, str], settled: Mapping[int, str]) -> list[Torn]:
    """What has to leave a cluster for it to be in one split: rows of the parent only where nothing else can."""
    stays = next((place for place in members if place in settled), members[0])
    elsewhere = [place for place in members if splits[place] != splits[stays]]
    added = [place for place in members if place not in settled and place != stays]
    leaving = [place for place in elsewhere if place not in settled] or added or elsewhere
    return [Torn(place, [stays]) for place in leaving] if elsewhere else []


def _describe(folder: Path, manifest: dict[str, Any], episodes: int) -> dict[str, Any]:
    """Write the files that say what the others hold; the manifest, which names them all, last."""
    for path, content in cards_of(manifest).items():
        (folder / path).write_text(content, encoding="utf-8")
    rows = {**manifest["rows"], EPISODES: episodes}
    manifest["files"] = describe_files(folder, rows)
    (folder / CROISSANT).write_bytes(as_json(croissant(manifest)))
    manifest["files"] = describe_files(folder, rows)
    (folder / MANIFEST).write_bytes(as_json(manifest))
    return manifest
