"""Makes a bundle out of an export: decides on splits and episodes, then writes every file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from shared.bundle.alike import Alike, find_clusters
from shared.bundle.card import CHATS, card, card_of_part
from shared.bundle.croissant import croissant
from shared.bundle.episodes import Episode, Member, cut_episodes
from shared.bundle.fields import SCHEMA, SPLITS, Row, bundle_row
from shared.bundle.manifest import as_json, describe_files, make_manifest
from shared.bundle.options import BundleOptions, Origin
from shared.bundle.parent import Parent
from shared.bundle.read import EPISODES, MANIFEST, BadBundle
from shared.bundle.row_index import RowIndex, index_rows
from shared.bundle.row_lines import RowLines
from shared.bundle.split_files import write_split
from shared.bundle.splits import Kind, Torn, assign, place_in_order
from shared.bundle.tally import Tally

CARD = "README.md"
CROISSANT = "croissant.json"
# Rows that are compared are read again from the file; the same ones come up several times.
REMEMBERED_QUESTIONS = 8_192

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
    """Write a bundle of exported JSON lines into an empty folder; its manifest. Raises BadBundle when nothing is answered.

    The same rows, options and origin make the same bytes.
    """
    with RowLines([export]) as rows:
        decided = _decide(rows, origin, options, parent, on_progress)
        tally = Tally()
        episodes: list[Episode] = []
        written = 0
        for split in SPLITS:
            places = decided.in_order(split, options.order_seed)
            made = _counted(decided.rows(rows, places), split, tally, written, len(decided.splits), on_progress)
            write_split(folder, split, made, openai=options.openai)
            written += len(places)
            episodes += cut_episodes(split, map(decided.member, places), options.episodes)
        (folder / EPISODES).write_bytes(
            b"".join(orjson.dumps(each.to_json(), option=orjson.OPT_APPEND_NEWLINE) for each in episodes)
        )
        return _describe(folder, decided, tally, episodes, origin, options, parent)


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
        index = self.index
        kind = index.domains[place], index.topics[place], index.difficulties[place]
        return Member(int(index.ids[place]), *kind, self._cluster(place))

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

    @lru_cache(REMEMBERED_QUESTIONS)
    def question(place: int) -> str:
        text: str = rows.row(int(index.lines[place]))["question"]
        return text

    def kind(place: int) -> Kind:
        on_progress("comparing", place, len(index))
        its = index.domains[place], index.topics[place], index.difficulties[place]
        return Kind(*its, index.text_hashes[place])

    settled = {}
    if parent is not None:
        settled = {place: parent.splits[its] for place, its in enumerate(index.ids.tolist()) if its in parent.splits}
    assigned = assign(range(len(index)), kind, Alike(index, question), options.splits, settled)
    splits, torn = dict(assigned.splits), list(assigned.torn)
    # Oldest first, as whoever verifies it compares them. That finds no more, but where a parent's rows came first.
    while True:
        clusters = find_clusters(index, sorted(splits), question)
        astray = [(place, members[0]) for members in clusters for place in members if splits[place] != splits[members[0]]]
        if not astray:
            break
        for place, first in astray:
            torn.append(Torn(place, [first]))
            del splits[place]
    by_place = {place: members[0] for members in clusters for place in members}
    return _Decided(index, splits, by_place, torn, len(rows) - len(answered))


def _counted(
    rows: Iterator[Row], split: str, tally: Tally, before: int, total: int, on_progress: OnProgress
) -> Iterator[Row]:
    for number, row in enumerate(rows, before + 1):
        tally.add(split, row)
        on_progress("writing", number, total)
        yield row


def _describe(
    folder: Path,
    decided: _Decided,
    tally: Tally,
    episodes: Sequence[Episode],
    origin: Origin,
    options: BundleOptions,
    parent: Parent | None,
) -> dict[str, Any]:
    """Write the files that say what the others hold; the manifest, which names them all, last."""
    ids = decided.index.ids
    left_out = {
        "unanswered": decided.unanswered,
        "contaminated": origin.contaminated,
        "torn": [
            {"id": int(ids[each.place]), "repeats": sorted(int(ids[other]) for other in each.repeats)}
            for each in sorted(decided.torn, key=lambda each: each.place)
        ],
    }
    by_id = {int(ids[place]): split for place, split in decided.splits.items()}
    descent = parent.to_json(by_id) if parent else None
    members = {place: decided.member(place) for place in decided.splits}
    manifest = make_manifest(
        origin, options, tally, [(decided.splits[place], members[place]) for place in sorted(members)], episodes, left_out, descent
    )
    for part, schema in {"jsonl": SCHEMA, **({"openai": CHATS} if options.openai else {})}.items():
        (folder / part / CARD).write_text(card_of_part(schema), encoding="utf-8")
    rows = {**manifest["rows"], EPISODES: len(episodes)}
    manifest["files"] = describe_files(folder, rows)
    (folder / CROISSANT).write_bytes(as_json(croissant(manifest)))
    (folder / CARD).write_text(card(manifest), encoding="utf-8")
    manifest["files"] = describe_files(folder, rows)
    (folder / MANIFEST).write_bytes(as_json(manifest))
    return manifest
