"""What is stored of a question to find its repeats: computed before, never inside, the transaction that admits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from shared.corpus.minhash import SIGNATURE_VERSION, signatures_of
from shared.corpus.normalise import hash_of, mask_numbers, normalise

__all__ = ["SIGNATURE_VERSION", "Fingerprint", "fingerprint", "fingerprint_many"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Equal hash: the same question. Equal template: the same but for numbers. A shared band: perhaps similar.

    The sketch, an unsigned integer of `SKETCH_BITS`, says how likely.
    """

    text_hash: bytes
    template_hash: int
    bands: tuple[int, ...]
    sketch: int


def fingerprint(text: str) -> Fingerprint:
    """The fingerprint of one text; `fingerprint_many` is cheaper for more."""
    return fingerprint_many([text])[0]


def fingerprint_many(texts: Sequence[str]) -> list[Fingerprint]:
    """The fingerprints in the order of the texts. Hash values are signed 64-bit integers, as Postgres has them."""
    normalised = [normalise(text) for text in texts]
    return [
        Fingerprint(hash_of(text), _template_hash(text), signature.bands, signature.sketch)
        for text, signature in zip(normalised, signatures_of(normalised), strict=True)
    ]


def _template_hash(normalised: str) -> int:
    digest = hashlib.sha256(mask_numbers(normalised).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
