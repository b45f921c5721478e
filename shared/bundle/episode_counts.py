"""How many episodes a bundle has, and what a person should know of tasks that are too small for one."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from shared.bundle.episodes import Episode, EpisodeOptions, Member, Task, Tasks, task_of
from shared.bundle.names import SPLITS, TEST, TRAIN, VALIDATION

# A cell that gives fewer episodes than this teaches or measures little.
FEW_EPISODES = 10


def count_episodes(members: Sequence[tuple[str, Member]], episodes: Sequence[Episode], tasks: Tasks) -> dict[str, Any]:
    """By split: episodes, tasks that have some, tasks too small for one, and how many tasks training never sees."""
    rows: defaultdict[str, Counter[Task]] = defaultdict(Counter)
    for split, member in members:
        rows[split][task_of(member, tasks)] += 1
    counted = {}
    for split in SPLITS:
        of_tasks = Counter((each.domain, each.topic, each.difficulty) for each in episodes if each.split == split)
        counted[split] = {
            "episodes": of_tasks.total(),
            "tasks": len(of_tasks),
            "unseen_tasks": sum(task not in rows[TRAIN] for task in of_tasks) if split != TRAIN else 0,
            "too_small_tasks": sum(task not in of_tasks for task in rows[split]),
        }
    return counted


def warn_of_cells(members: Sequence[tuple[str, Member]], options: EpisodeOptions) -> list[str]:
    """One warning per cell that gives few episodes however its rows are split."""
    cells = Counter((member.domain, member.difficulty) for _, member in members)
    return [
        f"{domain}/{difficulty}: at most {_count(rows // options.size, 'episode')} from {_count(rows, 'row')}, of "
        f"{options.support}+{options.query}"
        for (domain, difficulty), rows in sorted(cells.items())
        if rows // options.size < FEW_EPISODES
    ]


def warn_of_splits(counted: Mapping[str, Any], options: EpisodeOptions) -> list[str]:
    """What the counts of `count_episodes` say of tasks that are too small, or not unseen."""
    told = [
        f"{split}: {its['too_small_tasks']:,} of {its['too_small_tasks'] + its['tasks']:,} tasks have too few rows for "
        f"an episode of {options.support}+{options.query}"
        for split, its in counted.items()
        if its["too_small_tasks"]
    ]
    told += [
        f"{split}: no episode is of a task that training never sees; hold out topics or domains that have enough rows"
        for split in (VALIDATION, TEST)
        if not counted[split]["unseen_tasks"]
    ]
    return told


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
