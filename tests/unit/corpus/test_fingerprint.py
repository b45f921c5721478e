import random
import subprocess
import sys
import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.corpus.fingerprint import SIGNATURE_VERSION, Fingerprint, fingerprint, fingerprint_many
from shared.corpus.minhash import BANDS, SKETCH_BITS, may_be_similar, signatures_of

TEXT = "Why is the sky blue at noon?"
# Stored signatures depend on these: when this fails, the next SIGNATURE_VERSION is due.
STORED = Fingerprint(
    text_hash=bytes.fromhex("9638c5ed7400c86a37a7d7d829ae58a0"),
    template_hash=-7622124745680435094,
    bands=(
        3435009886827978059,
        -4794200598068073134,
        -8409860028304737513,
        67043841377129492,
        -4282373153475269617,
        -1576317825668876993,
        4897822108792128437,
        402084081155185663,
        2347815912436694481,
        4652630429365596018,
        2180329610973154877,
        1296821752138758585,
    ),
    sketch=1319817412456785361892891331889668448,
)


def test_stored_signatures_stay_valid() -> None:
    assert SIGNATURE_VERSION == 1
    assert fingerprint(TEXT) == STORED


def test_another_process_computes_the_same() -> None:
    program = f"from shared.corpus.fingerprint import fingerprint; print(fingerprint({TEXT!r}))"
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.strip() == repr(fingerprint(TEXT))


# Long ones too: texts are hashed in blocks of 4,096 characters, and one alone may fill several.
@given(st.lists(st.builds(str.__mul__, st.text(max_size=40), st.sampled_from([1, 1, 60, 150])), max_size=8))
def test_many_are_fingerprinted_as_one(texts: list[str]) -> None:
    assert fingerprint_many(texts) == [fingerprint(text) for text in texts]


@given(st.text())
def test_hashes_fit_into_postgres(text: str) -> None:
    its = fingerprint(text)
    assert len(its.text_hash) == 16
    assert len(its.bands) == BANDS
    assert 0 <= its.sketch < 2**SKETCH_BITS
    assert all(-(2**63) <= value < 2**63 for value in (its.template_hash, *its.bands))


def test_bands_do_not_read_into_the_next_text() -> None:
    texts = ["a", "", "ab", "abcd", "abcde", "the same", "the same"]
    assert signatures_of(texts) == [signatures_of([text])[0] for text in texts]


def test_bands_of_a_long_text_take_little_memory() -> None:
    text = "".join(random.Random(3).choices("abcdefgh ", k=200_000))
    tracemalloc.start()
    try:
        signatures_of([text])
        assert tracemalloc.get_traced_memory()[1] < 120 * len(text)  # all rows at once would be 480 bytes a character
    finally:
        tracemalloc.stop()


def test_bands_of_one_text_differ_among_themselves() -> None:
    assert len(set(signatures_of(["aaaaaaaa"])[0].bands)) == BANDS


def test_texts_share_bands_as_often_as_their_similarity_says() -> None:
    # Texts whose shingles are drawn: each of 200 blocks of 4 letters stands in one or in both of them.
    draw = random.Random(5)
    for kept, least, most in ((30, 0.99, 1.0), (24, 0.40, 0.80), (12, 0.0, 0.12)):
        shared = 0
        for _ in range(400):
            words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(64)]
            one = " ".join(words[:32])
            other = " ".join(words[:kept] + words[kept + 32 : 64])
            first, second = signatures_of([one, other])
            shared += not set(first.bands).isdisjoint(second.bands)
        assert least <= shared / 400 <= most, kept


def test_sketches_tell_most_neighbours_apart_and_lose_no_near_one() -> None:
    draw = random.Random(7)
    near = far = kept_near = kept_far = 0
    for _ in range(2000):
        words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(30)]
        changed = draw.choice([1, 5, 6, 7])
        one, other = " ".join(words[:20]), " ".join(words[changed:20] + words[20 : 20 + changed])
        shingles = [{text[at : at + 4] for at in range(len(text) - 3)} for text in (one, other)]
        similarity = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
        first, second = signatures_of([one, other])
        if set(first.bands).isdisjoint(second.bands):
            continue
        kept = may_be_similar(first.sketch, second.sketch)
        near, kept_near = near + (similarity >= 0.75), kept_near + (kept and similarity >= 0.75)
        far, kept_far = far + (similarity < 0.5), kept_far + (kept and similarity < 0.5)
    assert near > 400
    assert kept_near == near
    assert far > 80
    assert kept_far < far / 2, (kept_far, far)


def test_only_numbers_differ_in_one_template() -> None:
    sums = [fingerprint(f"How much is {one} + {other}?") for one, other in pairwise(range(6))]
    assert len({its.template_hash for its in sums}) == 1
    assert len({its.text_hash for its in sums}) == 5
    assert fingerprint("How much is 1 - 2?").template_hash != sums[0].template_hash
