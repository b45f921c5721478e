"""Judges candidates against what is known: pure, so that admitting and asking follow the same path."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import nlargest

from shared.corpus.fingerprint import Fingerprint
from shared.corpus.guards import Guard, guard_between_marks
from shared.corpus.marks import Marks, read_marks
from shared.corpus.minhash import SHINGLE, may_be_similar
from shared.corpus.normalise import normalise
from shared.corpus.similarity import similarities
from shared.ids import QuestionId

# Of two texts' character 4-grams, the share that both have: from here on they are near-equal. Measured together with
# the guards on 2,000 labelled pairs: precision 0.999, recall 0.95.
NEAR_SIMILARITY = 0.75
# How many earlier texts of the list one text is compared with, and how many of each band are looked at, newest first:
# as `lookup` bounds it for the dataset, so that a list of one template costs what its length says, not its square.
EARLIER_PER_TEXT = 10
EARLIER_PER_BAND = 20


class Refusal(StrEnum):
    """Why a candidate is not admitted."""

    EXACT = "exact"  # the same normalised text is there
    NEAR = "near"  # a similar one is there, and no guard tells them apart
    TEMPLATE = "template cap"  # as many as allowed differ from it in nothing but numbers
    CONTAMINATED = "contaminated"  # it is like an item of a benchmark that the dataset must not hold


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a candidate was judged, and because of which question.

    `question_id` is of the dataset, `repeats` the place of an earlier candidate in the same list; both are None when
    nothing is alike. `guard` tells a new candidate from the most similar question, which is then the one named.
    """

    refusal: Refusal | None
    question_id: QuestionId | None = None
    repeats: int | None = None
    similarity: float | None = None
    guard: Guard | None = None

    @property
    def verdict(self) -> str:
        """ "new", "exact", "near" or "template cap"."""
        return "new" if self.refusal is None else self.refusal.value


@dataclass(frozen=True, slots=True)
class Known:
    """What a dataset holds that could be like the candidates; `neighbours[i]` share a band with candidate i."""

    exact: Mapping[bytes, QuestionId] = field(default_factory=dict)
    neighbours: Sequence[Sequence[QuestionId]] = ()
    texts: Mapping[QuestionId, str] = field(default_factory=dict)
    templates: Mapping[int, int] = field(default_factory=dict)


def judge(
    texts: Sequence[str],
    fingerprints: Sequence[Fingerprint],
    known: Known,
    *,
    template_cap: int | None = None,
    contaminated: Collection[int] = (),
) -> list[Verdict]:
    """One verdict per text, in order; each is also compared with the new ones before it in the list.

    Of those, near ones are looked for among the likeliest `EARLIER_PER_TEXT`; equal texts and templates among all.
    The places that are `contaminated` are refused, and stand in nobody's way.
    """
    earlier = _Earlier()
    near = _find_near(texts, known)
    templates = dict(known.templates)
    verdicts: list[Verdict] = []
    for place, (text, its) in enumerate(zip(texts, fingerprints, strict=True)):
        verdict = Verdict(Refusal.CONTAMINATED) if place in contaminated else _find_same(its, known, earlier)
        if verdict is None:
            features = _Features(text)
            similar = [*near[place], *earlier.find_near(its, features)]
            verdict = _compare(features, similar)
            if verdict.refusal is None and template_cap is not None:
                if templates.get(its.template_hash, 0) >= template_cap:
                    verdict = Verdict(Refusal.TEMPLATE)
                else:
                    templates[its.template_hash] = templates.get(its.template_hash, 0) + 1
            if verdict.refusal is None:
                earlier.add(place, its, features)
        verdicts.append(verdict)
    return verdicts


class _Features:
    """What is compared of a text, each read once and only when a comparison asks."""

    __slots__ = ("_folded", "_marks", "_shingles", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded: str | None = None
        self._shingles: set[str] | None = None
        self._marks: Marks | None = None

    def folded(self) -> str:
        if self._folded is None:
            self._folded = normalise(self.text)
        return self._folded

    def shingles(self) -> set[str]:
        if self._shingles is None:
            folded = self.folded()
            self._shingles = {folded[at : at + SHINGLE] for at in range(max(1, len(folded) - SHINGLE + 1))}
        return self._shingles

    def marks(self) -> Marks:
        if self._marks is None:
            self._marks = read_marks(self.text)
        return self._marks


@dataclass(frozen=True, slots=True)
class _Similar:
    """A question of the dataset, or an earlier candidate, that is at least `NEAR_SIMILARITY` like the candidate."""

    similarity: float
    question_id: QuestionId | None
    place: int | None
    features: _Features


def _find_near(texts: Sequence[str], known: Known) -> list[list[_Similar]]:
    """For each text, those of its neighbours in the dataset that are near."""
    near: list[list[_Similar]] = [[] for _ in texts]
    questions = {question_id: _Features(text) for question_id, text in known.texts.items()}
    places = {question_id: place for place, question_id in enumerate(questions, len(texts))}
    asked = [(place, question_id) for place, ids in enumerate(known.neighbours) for question_id in ids]
    folded = [normalise(text) for text in (*texts, *known.texts.values())]
    measured = similarities(folded, [(place, places[question_id]) for place, question_id in asked])
    for (place, question_id), similarity in zip(asked, measured, strict=True):
        if similarity >= NEAR_SIMILARITY:
            near[place].append(_Similar(similarity, question_id, None, questions[question_id]))
    return near


class _Earlier:
    """The new candidates of the list so far, found by hash and by band as those of the dataset are."""

    def __init__(self) -> None:
        self.by_hash: dict[bytes, int] = {}
        self._by_band: dict[int, list[int]] = {}
        self._features: dict[int, _Features] = {}
        self._sketches: dict[int, int] = {}

    def add(self, place: int, its: Fingerprint, features: _Features) -> None:
        self.by_hash[its.text_hash] = place
        self._features[place] = features
        self._sketches[place] = its.sketch
        by_band = self._by_band
        for band in its.bands:
            if band in by_band:
                by_band[band].append(place)
            else:
                by_band[band] = [place]

    def find_near(self, its: Fingerprint, features: _Features) -> Iterator[_Similar]:
        """Those of its likeliest neighbours that are near."""
        for place in self._neighbours(its):
            if may_be_similar(its.sketch, self._sketches[place]):
                other = self._features[place]
                similarity = _similarity(features, other)
                if similarity >= NEAR_SIMILARITY:
                    yield _Similar(similarity, None, place, other)

    def _neighbours(self, its: Fingerprint) -> list[int]:
        """Who shares many bands comes first, and a band counts for less the more texts share it."""
        weights: defaultdict[int, float] = defaultdict(float)
        for band in its.bands:
            if places := self._by_band.get(band):
                newest = places[-EARLIER_PER_BAND:]
                weight = 1 / len(newest)
                for place in newest:
                    weights[place] += weight
        if len(weights) <= EARLIER_PER_TEXT:
            return sorted(weights)
        return sorted(nlargest(EARLIER_PER_TEXT, weights, key=lambda place: (weights[place], place)))


def _find_same(its: Fingerprint, known: Known, earlier: _Earlier) -> Verdict | None:
    if (question_id := known.exact.get(its.text_hash)) is not None:
        return Verdict(Refusal.EXACT, question_id=question_id, similarity=1.0)
    if (place := earlier.by_hash.get(its.text_hash)) is not None:
        return Verdict(Refusal.EXACT, repeats=place, similarity=1.0)
    return None


def _compare(features: _Features, similar: Sequence[_Similar]) -> Verdict:
    """Near to the most similar text that no guard tells apart; else new, and what told the most similar one apart."""
    verdict = Verdict(None)
    for other in sorted(similar, key=lambda each: -each.similarity):
        guard = guard_between_marks(features.marks(), other.features.marks())
        if guard is None:
            return Verdict(Refusal.NEAR, other.question_id, other.place, other.similarity)
        if verdict.guard is None:
            verdict = Verdict(None, other.question_id, other.place, other.similarity, guard)
    return verdict


def _similarity(some: _Features, other: _Features) -> float:
    """What `similarities` measures, of one pair; 0 as soon as it is clear that it stays under what is near.

    Earlier candidates come up one by one, and for a few pairs numpy takes three times as long.

    Of near texts at least `NEAR_SIMILARITY` of the one's shingles stand in the other. Most neighbours are not near, and
    looking for shingles until too many are missing costs a tenth of taking the other text to pieces.
    """
    shingles, text = some.shingles(), other.folded()
    most_missing = (1 - NEAR_SIMILARITY) * len(shingles)
    missing = 0
    for shingle in shingles:
        if shingle not in text:
            missing += 1
            if missing > most_missing:
                return 0.0
    common = len(shingles) - missing
    return common / (len(shingles) + len(other.shingles()) - common)
