"""Groups of questions that are near-duplicates of one another, directly or through others: a union-find."""

from collections import defaultdict
from collections.abc import Iterable


class Clusters:
    """Grows by pairs. What is in no pair is in no cluster."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def join(self, one: int, other: int) -> None:
        """Both, and whatever is with either of them, are in one cluster from now on."""
        root, grafted = sorted((self._root(one), self._root(other)))
        self._parents[grafted] = root

    def largest_first(self) -> list[list[int]]:
        """The members of each cluster in ascending order; of clusters of one size first that of the smallest number."""
        members: defaultdict[int, list[int]] = defaultdict(list)
        for number in sorted(self._parents):
            members[self._root(number)].append(number)
        return sorted(members.values(), key=lambda each: (-len(each), each[0]))

    def _root(self, number: int) -> int:
        """The smallest number of its cluster. Each look shortens the way there for the next one."""
        parents = self._parents
        parents.setdefault(number, number)
        while (parent := parents[number]) != number:
            parents[number] = parents[parent]
            number = parents[number]
        return number


def cluster(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The clusters that the pairs make, the largest first."""
    clusters = Clusters()
    for one, other in pairs:
        clusters.join(one, other)
    return clusters.largest_first()
