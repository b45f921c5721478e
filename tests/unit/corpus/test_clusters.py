from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from shared.corpus.clusters import cluster


def test_pairs_that_touch_are_one_cluster_and_the_largest_comes_first() -> None:
    assert cluster([]) == []
    assert cluster([(9, 8), (1, 2), (5, 3), (2, 3)]) == [[1, 2, 3, 5], [8, 9]]


def test_a_long_chain_is_one_cluster_whatever_the_order_of_its_links() -> None:
    links = [*pairwise(range(20_000))]
    Random(1).shuffle(links)
    assert cluster(links) == [[*range(20_000)]]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_every_number_is_in_one_cluster_with_its_partners(pairs: list[tuple[int, int]]) -> None:
    clusters = cluster(pairs)
    place = {number: at for at, members in enumerate(clusters) for number in members}
    assert sum(map(len, clusters)) == len(place) == len({number for pair in pairs for number in pair})
    assert all(place[one] == place[other] for one, other in pairs)
    for members in clusters:
        inside = [(one, other) for one, other in pairs if one in members]
        assert len(inside) >= len(members) - 1, "else the pairs could not hold it together"
