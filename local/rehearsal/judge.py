"""The judges' opinion of a question: the same question always gets the same one, but for some noise."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from local.rehearsal.grammar import Dice

DEFAULT_REJECT_SHARE = 0.03
DEFAULT_NOISE = 0.01
_REASONS = {
    "clear": (
        "It can be read in two ways, and they lead to different answers.",
        "The last clause does not say what it refers to.",
    ),
    "self_contained": (
        "It refers to material that is not given.",
        "A value that is needed for the answer is missing.",
    ),
    "answerable": (
        "The given conditions contradict each other.",
        "No answer could be told from a wrong one.",
    ),
    "right_domain": (
        "It is hardly about the domain that was asked for.",
        "The domain is only the scenery here; the task belongs to another one.",
    ),
    "right_difficulty": (
        "It is much harder than the difficulty that was asked for.",
        "One look is enough to answer it, whatever the difficulty asked for.",
    ),
    "safe": (
        "A good answer would help to harm somebody.",
        "It asks for the personal details of a third person.",
    ),
}
CRITERIA = tuple(_REASONS)
_PLACEHOLDER = re.compile(r"\[(?:insert|your|topic|placeholder|todo)\b[^\]\n]*\]", re.IGNORECASE)
_NO_WORDS = re.compile(r"[\W\d_]*(?:(?:TODO|TBD)[\W\d_]*)?")
_REMNANTS = ("lorem ipsum", "Lorem ipsum", "I'm sorry, but I can't", "As an AI language model")
_RUBBISH_REASON = "This is not a question but a placeholder or a remnant of one."


@dataclass(frozen=True, slots=True)
class Judges:
    """`reject_share` of the questions are bad in the eyes of every judge; in `noise` of its verdicts one disagrees."""

    reject_share: float = DEFAULT_REJECT_SHARE
    noise: float = DEFAULT_NOISE

    def judge(self, number: int, question: str, random: Random) -> dict[str, object]:
        """One verdict, as a reply holds it: the question's number, a score per criterion and a reason."""
        dice = Dice(f"judge|{question}".encode())
        bad = dice.unit() < self.reject_share
        scores = {criterion: 4 + dice.below(2) for criterion in CRITERIA}
        failed = CRITERIA[dice.below(len(CRITERIA))]
        reason = _REASONS[failed][dice.below(2)]
        low = 1 + dice.below(2)
        if _is_rubbish(question):
            bad, failed, reason = True, "self_contained", _RUBBISH_REASON
        elif random.random() < self.noise:
            bad = not bad
        if bad:
            scores[failed] = low
        return {"number": number, **scores, "reason": reason if bad else ""}

    def verdicts(self, questions: Mapping[int, str], random: Random) -> list[dict[str, object]]:
        """The verdicts on all questions of a prompt, by their numbers."""
        return [self.judge(number, question, random) for number, question in questions.items()]


def _is_rubbish(question: str) -> bool:
    """Whether anyone sees it at a glance: no words at all, a place left to be filled in, or a model that declines."""
    return (
        _NO_WORDS.fullmatch(question) is not None
        or _PLACEHOLDER.search(question) is not None
        or any(remnant in question for remnant in _REMNANTS)
    )
