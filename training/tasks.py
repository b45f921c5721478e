"""The tasks of a bundle, as a run uses them: rows within the length, in episodes of support and query."""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from shared.bundle.read import Episode, read_episodes, read_manifest, read_rows
from training.encoding import Encoded, encode
from training.errors import BadRun

ROWS_AT_ONCE = 1000
TRAIN, TEST = "train", "test"

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Episodes to train on and held-out ones, and the rows that they name; ids are made when they are asked for."""

    tokenizer: PreTrainedTokenizerBase
    rows: Mapping[int, Mapping[str, Any]]
    train: Sequence[Episode]
    test: Sequence[Episode]
    dropped_rows: int
    dropped_episodes: int
    origin: Mapping[str, Any]  # of the bundle: dataset, rehearsal, manifest_sha256

    def encoded(self, ids: Sequence[int]) -> list[Encoded]:
        """The ids of these rows."""
        return encode(self.tokenizer, [self.rows[each] for each in ids])

    def of_step(self, step: int, count: int, seed: int) -> list[Episode]:
        """The `count` episodes of a step: all in turn, each round of them in an order of its own."""
        chosen = []
        for at in range(step * count, (step + 1) * count):
            turn, place = divmod(at, len(self.train))
            order = list(range(len(self.train)))
            random.Random(f"{seed}/{turn}").shuffle(order)
            chosen.append(self.train[order[place]])
        return chosen


def load_tasks(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int,
    drop_longer: bool,
    told: Callable[[int, int], None] = lambda *_: None,
) -> Tasks:
    """Read a bundle. Nothing is ever cut: rows over `max_tokens` are refused, or left out and counted.

    Raises BadBundle, and BadRun where rows are too long or no episodes are left.
    """
    manifest = read_manifest(folder)
    episodes = [each for each in read_episodes(folder) if each.split in {TRAIN, TEST}]
    used = {each for episode in episodes for each in (*episode.support, *episode.query)}
    rows = {row["id"]: row for split in (TRAIN, TEST) for row in read_rows(folder, split) if row["id"] in used}
    for split in (TRAIN, TEST):
        if not any(each.split == split for each in episodes):
            raise BadRun(
                f"{folder} has no episodes in its {split} split, so there is nothing to "
                f"{'train on' if split == TRAIN else 'judge by'}: export a larger dataset, or smaller episodes."
            )
    longer = _longer(tokenizer, rows, max_tokens, told)
    if longer and not drop_longer:
        raise BadRun(
            f"{len(longer):,} of {len(rows):,} rows are longer than {max_tokens:,} tokens (the longest has "
            f"{max(longer.values()):,}), and none is ever cut: leave them out with --over-length drop, or raise "
            "--max-tokens."
        )
    kept = [each for each in (_without(episode, longer) for episode in episodes) if each.support and each.query]
    by_split = {split: [each for each in kept if each.split == split] for split in (TRAIN, TEST)}
    if not (by_split[TRAIN] and by_split[TEST]):
        raise BadRun(f"No episode has rows of at most {max_tokens:,} tokens on both sides: raise --max-tokens.")
    return Tasks(
        tokenizer=tokenizer,
        rows=rows,
        train=by_split[TRAIN],
        test=by_split[TEST],
        dropped_rows=len(longer),
        dropped_episodes=len(episodes) - len(kept),
        origin={
            "name": folder.resolve().name,
            "dataset": manifest["dataset"],
            "rehearsal": manifest["rehearsal"],
            "manifest_sha256": hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest(),
        },
    )


def spread(episodes: Sequence[Episode], count: int) -> list[Episode]:
    """At most `count` episodes, one of each task before a second of any."""
    seen: dict[tuple[str | None, ...], int] = {}
    turns = []
    for episode in episodes:
        task = (episode.domain, episode.topic, episode.difficulty)
        turns.append(seen.get(task, 0))
        seen[task] = turns[-1] + 1
    return [episodes[at] for at in sorted(range(len(episodes)), key=lambda at: (turns[at], at))[:count]]


def _longer(
    tokenizer: PreTrainedTokenizerBase,
    rows: Mapping[int, Mapping[str, Any]],
    max_tokens: int,
    told: Callable[[int, int], None],
) -> dict[int, int]:
    """The length in tokens of each row that is longer, by its id."""
    ids = list(rows)
    found = {}
    for start in range(0, len(ids), ROWS_AT_ONCE):
        chunk = ids[start : start + ROWS_AT_ONCE]
        for each, encoded in zip(chunk, encode(tokenizer, [rows[each] for each in chunk]), strict=True):
            if len(encoded) > max_tokens:
                found[each] = len(encoded)
        told(start + len(chunk), len(ids))
    return found


def _without(episode: Episode, left_out: Mapping[int, int]) -> Episode:
    sides = {
        side: tuple(each for each in getattr(episode, side) if each not in left_out) for side in ("support", "query")
    }
    return replace(episode, **sides)
