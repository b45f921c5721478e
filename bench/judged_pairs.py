"""Pairs judged as admission judges them, and what of it is right, by kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.question_pairs import Pair
from shared.corpus.duplicates import Known, judge
from shared.corpus.fingerprint import Fingerprint, fingerprint_many
from shared.corpus.guards import Guard
from shared.corpus.minhash import may_be_similar
from shared.ids import QuestionId

FIRST = QuestionId(1)


@dataclass(frozen=True, slots=True)
class Judged:
    """`found`: admission would compare the two, by hash or by a shared band and sketch. `alike`: compared, it would
    refuse the second. `guard` told them apart.
    """

    pair: Pair
    found: bool
    alike: bool
    guard: Guard | None

    @property
    def refused(self) -> bool:
        """Whether the second is refused where the first is in the dataset."""
        return self.found and self.alike


def judge_pairs(pairs: Sequence[Pair]) -> list[Judged]:
    """One for each pair, in order."""
    firsts, seconds = (fingerprint_many([getattr(each, side) for each in pairs]) for side in ("a", "b"))
    return [_judge(pair, one, other) for pair, one, other in zip(pairs, firsts, seconds, strict=True)]


def _judge(pair: Pair, one: Fingerprint, other: Fingerprint) -> Judged:
    known = Known({one.text_hash: FIRST}, [[FIRST]], {FIRST: pair.a})
    (verdict,) = judge([pair.b], [other], known)
    in_band = not set(one.bands).isdisjoint(other.bands) and may_be_similar(one.sketch, other.sketch)
    found = one.text_hash == other.text_hash or in_band
    return Judged(pair, found, verdict.refusal is not None, verdict.guard)


def score(pairs: Sequence[Pair], refused: Sequence[bool], kinds: Sequence[str] | None = None) -> dict[str, Any]:
    """Precision, recall and F1: of the duplicates those of `kinds`, if given, and of the others always all."""
    asked = [
        (each.dup, flag) for each, flag in zip(pairs, refused, strict=True) if kinds is None or _counts(each, kinds)
    ]
    hits = sum(dup and flag for dup, flag in asked)
    flagged, duplicates = sum(flag for _, flag in asked), sum(dup for dup, _ in asked)
    return {
        "precision": round(hits / flagged, 4) if flagged else None,
        "recall": round(hits / duplicates, 4) if duplicates else None,
        "f1": round(2 * hits / (flagged + duplicates), 4) if flagged + duplicates else None,
    }


def by_kind(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """For each kind how many pairs were found, alike and refused; of duplicates also the scores, against all others."""
    pairs, refused = [each.pair for each in judged], [each.refused for each in judged]
    table: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        of_kind = [each for each in judged if each.pair.kind == kind]
        dup = of_kind[0].pair.dup
        table[kind] = {
            "duplicates": dup,
            "pairs": len(of_kind),
            "found": sum(each.found for each in of_kind),
            "alike": sum(each.alike for each in of_kind),
            "refused": sum(each.refused for each in of_kind),
            "guards": _guards(of_kind),
            **(score(pairs, refused, [kind]) if dup else {}),
        }
    return table


def _counts(pair: Pair, kinds: Sequence[str]) -> bool:
    return not pair.dup or pair.kind in kinds


def _guards(judged: Sequence[Judged]) -> Mapping[str, int]:
    named = [each.guard.value for each in judged if each.guard is not None]
    return {guard: named.count(guard) for guard in sorted(set(named))}
