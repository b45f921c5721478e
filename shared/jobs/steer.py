"""Steers a cell's prompts to fresh ground: a topic that brings little new rests, one that brings nothing is dry. Pure.

Prompt tuples stay what (seed, cell, ordinal) makes of them; steering only passes over ordinals whose topic rests. They
are drawn topic by topic in turn, so all topics that are open get the same share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from shared.corpus.topic_yields import TopicYield
from shared.planning.mix import Cell
from shared.questions.atlas import DomainAtlas
from shared.questions.prompts import topic_at

# A cell's floor is the highest of these under which at least a quarter of its topics are open; a topic whose recent
# yield is below it rests. The last one is the yield below which a cell is stopped: a topic below that is dry.
FLOORS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
LEAST_OPEN_SHARE = 0.25
# With fewer candidates a topic is open whatever they brought: two replies of twenty.
EVIDENCE_CANDIDATES = 40


class TopicState(StrEnum):
    """Whether a topic is asked about."""

    OPEN = "open"  # it is asked about in its turn
    RESTING = "resting"  # others bring more; its turn comes again when they do not
    DRY = "dry"  # hardly anything new came of it lately


@dataclass(frozen=True, slots=True)
class Ground:
    """What a cell's prompts are drawn from, and how each of its topics has fared."""

    seed: int
    atlas: DomainAtlas
    yields: Mapping[str, TopicYield]

    def recent(self, topic: str) -> float | None:
        """The topic's recent yield; None while too little is known."""
        its = self.yields.get(topic)
        return None if its is None or its.generated < EVIDENCE_CANDIDATES else its.recent

    def reaches(self, topic: str, floor: float) -> bool:
        """Whether the topic yields so much, or may."""
        recent = self.recent(topic)
        return recent is None or recent >= floor


def floor_of(ground: Ground) -> float:
    """The recent yield that a topic of this cell must have now to be asked about."""
    topics = ground.atlas.topics
    for floor in FLOORS:
        if sum(ground.reaches(topic, floor) for topic in topics) >= LEAST_OPEN_SHARE * len(topics):
            return floor
    return FLOORS[-1]


def topic_states(ground: Ground) -> dict[str, TopicState]:
    """The state of every topic of the atlas."""
    floor = floor_of(ground)

    def state(topic: str) -> TopicState:
        if ground.reaches(topic, floor):
            return TopicState.OPEN
        return TopicState.RESTING if ground.reaches(topic, FLOORS[-1]) else TopicState.DRY

    return {topic: state(topic) for topic in ground.atlas.topics}


def open_topics(ground: Ground) -> list[str]:
    """The topics that are asked about."""
    return [topic for topic, state in topic_states(ground).items() if state is TopicState.OPEN]


def expected_yield(ground: Ground, otherwise: float) -> float:
    """What the next prompts will yield, by the topics that are open; `otherwise` of one that little is known of."""
    known = [ground.recent(topic) for topic in open_topics(ground)]
    return fmean(otherwise if recent is None else recent for recent in known) if known else otherwise


def passed_over(ground: Ground, cell: Cell, ordinals: Sequence[int]) -> list[int]:
    """Those of a batch's ordinals whose topic is not open now; none if no topic is."""
    wanted = set(open_topics(ground))
    if not wanted:
        return []
    return [each for each in ordinals if topic_at(ground.atlas, ground.seed, cell, each) not in wanted]


def next_ordinals(ground: Ground, cell: Cell, first: int, count: int) -> Sequence[int]:
    """The next `count` ordinals from `first` on whose topic is open; all of them if none is."""
    wanted = set(open_topics(ground))
    if not wanted or len(wanted) == len(ground.atlas.topics):
        return range(first, first + count)
    taken: list[int] = []
    ordinal = first
    while len(taken) < count:
        if topic_at(ground.atlas, ground.seed, cell, ordinal) in wanted:
            taken.append(ordinal)
        ordinal += 1
    return taken
