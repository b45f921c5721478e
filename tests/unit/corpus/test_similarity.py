import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.corpus import similarity
from shared.corpus.similarity import similarities


def by_sets(one: str, other: str) -> float:
    """Four characters at a time; a text shorter than that is one shingle."""
    a, b = ({text[at : at + 4] for at in range(max(1, len(text) - 3))} for text in (one, other))
    return len(a & b) / len(a | b)


texts_and_pairs = st.lists(
    st.one_of(st.text(alphabet="ab \N{GREEK SMALL LETTER PI}", max_size=40), st.text(max_size=12)),
    min_size=1,
    max_size=8,
).flatmap(
    lambda texts: st.tuples(
        st.just(texts),
        st.lists(st.tuples(*[st.integers(0, len(texts) - 1)] * 2), max_size=20),
    )
)


@given(texts_and_pairs, st.sampled_from([1, 50, 1 << 17]))
def test_equals_the_jaccard_of_the_sets(drawn: tuple[list[str], list[tuple[int, int]]], at_once: int) -> None:
    texts, pairs = drawn
    texts = [text.replace("\0", "") for text in texts]  # pads what is short; a question has none
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "_AT_ONCE", at_once)
        measured = similarities(texts, pairs)
    assert measured == pytest.approx([by_sets(texts[one], texts[other]) for one, other in pairs])


def test_memory_does_not_grow_with_the_pairs() -> None:
    texts = [f"{number} of many texts that are alike but for their number" * 20 for number in range(400)]
    pairs = [(one, other) for one in range(400) for other in range(one)]
    tracemalloc.start()
    try:
        similarities(texts[:20], pairs[:190])
        few = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        similarities(texts, pairs[:8000])
        assert tracemalloc.get_traced_memory()[1] < few + 3_000_000
    finally:
        tracemalloc.stop()
