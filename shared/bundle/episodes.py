"""Episodes for meta-learning: a task's rows of one split, cut into disjoint sets of support and query."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Tasks(StrEnum):
    """What rows of one task have in common."""

    TOPIC = "domain/topic"
    TOPIC_DIFFICULTY = "domain/topic/difficulty"
    DIFFICULTY = "domain/difficulty"


@dataclass(frozen=True, slots=True)
class EpisodeOptions:
    """How tasks are made, and how many rows an episode has to adapt on and to be measured on."""

    tasks: Tasks = Tasks.TOPIC
    support: int = 5
    query: int = 15

    def __post_init__(self) -> None:
        """Raises ValueError or TypeError on nonsense; what a person typed is checked before, with better words."""
        if not all(isinstance(each, int) for each in (self.support, self.query)):
            raise TypeError("support and query are whole numbers")
        if not (1 <= self.support < 2**63 and 0 <= self.query < 2**63):
            raise ValueError("rows of support or query are out of their range")

    @property
    def size(self) -> int:
        """Rows of an episode."""
        return self.support + self.query


@dataclass(frozen=True, slots=True)
class Member:
    """What episodes are cut from: a row with its kind and its cluster of duplicates."""

    id: int
    domain: str
    topic: str
    difficulty: str
    cluster: int


@dataclass(frozen=True, slots=True)
class Episode:
    """A task to adapt to: ids of rows to learn from (`support`) and to be measured on (`query`), all of one split.

    `topic` or `difficulty` is None where it is no part of the task.
    """

    name: str
    split: str
    domain: str
    topic: str | None
    difficulty: str | None
    support: tuple[int, ...]
    query: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As a line of episodes.jsonl."""
        return {
            "episode": self.name,
            "split": self.split,
            "domain": self.domain,
            "topic": self.topic,
            "difficulty": self.difficulty,
            "support": list(self.support),
            "query": list(self.query),
        }


Task = tuple[str, str | None, str | None]


def task_of(member: Member, tasks: Tasks) -> Task:
    """Domain, topic and difficulty of the task; None for what is no part of it."""
    topic = None if tasks is Tasks.DIFFICULTY else member.topic
    return member.domain, topic, None if tasks is Tasks.TOPIC else member.difficulty


def cut_episodes(split: str, members: Iterable[Member], options: EpisodeOptions) -> list[Episode]:
    """floor(n / (support + query)) episodes of each task, in the order of the tasks' names.

    `members` are in the order of their file. Of a cluster of duplicates only the first takes part, so that none is on
    both sides of an episode, nor in two of a task.
    """
    by_task: dict[Task, dict[int, int]] = {}
    for member in members:
        by_task.setdefault(task_of(member, options.tasks), {}).setdefault(member.cluster, member.id)
    return [
        episode
        for task, clusters in sorted(by_task.items(), key=lambda each: [part or "" for part in each[0]])
        for episode in _cut(split, task, list(clusters.values()), options)
    ]


def _cut(split: str, task: Task, ids: Sequence[int], options: EpisodeOptions) -> Iterator[Episode]:
    named = "/".join([split, *(_quoted(part) for part in task if part is not None)])
    for number in range(len(ids) // options.size):
        first = number * options.size
        middle = first + options.support
        support, query = tuple(ids[first:middle]), tuple(ids[middle : first + options.size])
        yield Episode(f"{named}/{number}", split, *task, support, query)


def _quoted(name: str) -> str:
    """No two tasks may get one name: "a/b" of "c" is not "a" of "b/c"."""
    return name.replace("%", "%25").replace("/", "%2F")
