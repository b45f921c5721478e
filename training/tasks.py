"""The tasks of a bundle, as a run uses them: rows within the length, in episodes of support and query."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from shared.bundle.read import Episode, read_episodes, read_manifest, read_rows, require_as_exported
from training.encoding import Encoded, encode
from training.errors import BadRun
from training.settings import Settings

EPISODES_AT_ONCE = 50
TRAIN, TEST = "train", "test"
MANIFEST = "manifest.json"

Row = Mapping[str, Any]
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Tasks:
    """The episodes of a run in the order that it takes them, held-out ones to judge by, and their rows."""

    tokenizer: PreTrainedTokenizerBase
    rows: Mapping[int, Row]
    train: Sequence[Episode]  # steps x tasks per step
    held_out: Sequence[Episode]
    counts: Mapping[str, int]
    origin: Mapping[str, Any]  # of the bundle: name, dataset, rehearsal, manifest_sha256

    def encoded(self, ids: Sequence[int]) -> list[Encoded]:
        """The ids of these rows, made when they are asked for."""
        return encode(self.tokenizer, [self.rows[each] for each in ids])

    def of_step(self, step: int, count: int) -> Sequence[Episode]:
        """The `count` episodes of a step, from 0."""
        return self.train[step * count : (step + 1) * count]


def load_tasks(
    folder: Path, tokenizer: PreTrainedTokenizerBase, settings: Settings, told: Told = lambda *_: None
) -> Tasks:
    """Read a bundle. Nothing is ever cut: rows over the length are refused, or left out and counted.

    Raises BadBundle, and BadRun where there are no episodes, or rows are too long.
    """
    manifest = read_manifest(folder)
    episodes = read_episodes(folder)
    train, test = ([each for each in episodes if each.split == split] for split in (TRAIN, TEST))
    for split, found, purpose in ((TRAIN, train, "to train on"), (TEST, test, "to judge by")):
        if not found:
            raise BadRun(
                f"{folder} has no episodes in its {split} split, so there is nothing {purpose}: "
                "export more questions, smaller episodes, or other held-out topics."
            )
    rows = {row["id"]: row for split in (TRAIN, TEST) for row in read_rows(folder, split)}
    require_as_exported(folder, (TRAIN, TEST))
    lengths = Lengths(tokenizer, rows, settings.max_tokens)
    wanted = settings.steps * settings.tasks_per_step
    taken = lengths.take(in_turns(train, settings.seed), wanted, len(train), lambda done: told(done, wanted))
    held_out = lengths.take(iter(spread(test)), min(settings.held_out_tasks, len(test)), len(test))
    if lengths.longer and not settings.drop_longer:
        raise BadRun(
            f"{len(lengths.longer):,} of the {len(lengths.seen):,} rows that this run reads are longer than "
            f"{settings.max_tokens:,} tokens (the longest has {max(lengths.longer.values()):,}), and none is ever cut: "
            "leave them out with --over-length drop, or raise --max-tokens."
        )
    if not (taken and held_out):
        raise BadRun(
            f"No episode has rows of {settings.max_tokens:,} tokens or fewer on both sides: raise --max-tokens."
        )
    used = {each for episode in (*taken, *held_out) for each in (*episode.support, *episode.query)}
    return Tasks(
        tokenizer=tokenizer,
        rows={each: rows[each] for each in used},
        train=taken,
        held_out=held_out,
        counts={
            "train_episodes": len(train),
            "test_episodes": len(test),
            "episodes_taken": len(taken),
            "rows_read": len(lengths.seen),
            "rows_dropped": len(lengths.longer),
            "episodes_dropped": len(lengths.dropped),
        },
        origin={
            "name": folder.resolve().name,
            "dataset": manifest["dataset"],
            "rehearsal": manifest["rehearsal"],
            "manifest_sha256": hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest(),
        },
    )


def in_turns(episodes: Sequence[Episode], seed: int) -> Iterator[Episode]:
    """All episodes without end: each round has all of them, in an order of its own."""
    turn = 0
    while True:
        order = list(episodes)
        random.Random(f"{seed}/{turn}").shuffle(order)
        yield from order
        turn += 1


def spread(episodes: Sequence[Episode]) -> list[Episode]:
    """One episode of each task before a second of any, so that the first few are of many tasks."""
    seen: Counter[tuple[str | None, ...]] = Counter()
    turns = []
    for at, episode in enumerate(episodes):
        task = (episode.domain, episode.topic, episode.difficulty)
        turns.append((seen[task], at))
        seen[task] += 1
    return [episodes[at] for _, at in sorted(turns)]


class Lengths:
    """Takes episodes without their longer rows, and remembers what it has seen."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, rows: Mapping[int, Row], max_tokens: int) -> None:
        self._tokenizer, self._rows, self._max_tokens = tokenizer, rows, max_tokens
        self.seen: set[int] = set()
        self.longer: dict[int, int] = {}  # tokens by id
        self.dropped: set[str] = set()

    def take(
        self, episodes: Iterator[Episode], wanted: int, round_of: int, told: Callable[[int], None] = lambda _: None
    ) -> list[Episode]:
        """The first `wanted` that have rows on both sides; fewer, when a round of them has no more.

        Orders differ from round to round, so only two rounds' length of them has all for certain.
        """
        taken: list[Episode] = []
        in_vain = 0
        while len(taken) < wanted and in_vain < 2 * round_of:
            chunk = list(islice(episodes, min(EPISODES_AT_ONCE, wanted - len(taken))))
            if not chunk:
                break
            for episode in chunk:
                self._require_rows(episode)
            self._measure({each for episode in chunk for each in (*episode.support, *episode.query)})
            kept = [each for each in map(self._without_longer, chunk) if each.support and each.query]
            self.dropped |= {each.name for each in chunk} - {each.name for each in kept}
            in_vain = 0 if kept else in_vain + len(chunk)
            taken += kept
            told(len(taken))
        return taken

    def _require_rows(self, episode: Episode) -> None:
        if absent := [each for each in (*episode.support, *episode.query) if each not in self._rows]:
            raise BadRun(
                f"The episode {episode.name!r} names row {absent[0]}, which is not in the bundle's {TRAIN} or {TEST} "
                "rows: export the bundle again."
            )

    def _measure(self, ids: set[int]) -> None:
        new = sorted(ids - self.seen)
        self.seen |= ids
        for each, encoded in zip(new, encode(self._tokenizer, [self._rows[each] for each in new]), strict=True):
            if len(encoded) > self._max_tokens:
                self.longer[each] = len(encoded)

    def _without_longer(self, episode: Episode) -> Episode:
        support, query = (
            tuple(each for each in ids if each not in self.longer) for ids in (episode.support, episode.query)
        )
        return replace(episode, support=support, query=query)
