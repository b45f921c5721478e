"""The stage validate: the prompt that asks a judge for scores, and the verdicts in its reply."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.questions.json_scan import Literal, Node, Object
from shared.questions.numbered_items import ItemKind, Members, read_numbered_items, value_of
from shared.questions.numbered_questions import write_facts, write_questions
from shared.questions.prompts import REASONING_TOKENS, Prompt, one_line
from shared.questions.repairs import Repair
from shared.questions.wording import wording

CRITERIA = ("clear", "self_contained", "answerable", "right_domain", "right_difficulty", "safe")
"""What a question is scored on, from 1 (fails) to 5 (no flaw)."""
VERDICT_TOKENS = 120
"""Room for one verdict: about 50 tokens of JSON, and a reason of 25 words in any language."""
REASON_CHARACTERS = 500

SCHEMA_NAME = "verdicts"
_SCORE: Mapping[str, object] = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
_VERDICT: Mapping[str, object] = {
    "type": "object",
    "properties": {"number": {"type": "integer"}, **dict.fromkeys(CRITERIA, _SCORE), "reason": {"type": "string"}},
    "required": ["number", *CRITERIA, "reason"],
    "additionalProperties": False,
}
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {"verdicts": {"type": "array", "items": _VERDICT}},
    "required": ["verdicts"],
    "additionalProperties": False,
}

_KIND = ItemKind("verdicts", "verdict", CRITERIA, texts=False)
_WRITTEN_SCORE = re.compile(r"\s*([1-5])(?:\.0+)?(?:\s*/\s*5)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's scores of one question, 1 to 5 for each of `CRITERIA`, and one line that says what is wrong."""

    scores: Mapping[str, int]
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedVerdicts:
    """The whole verdicts of a reply by question number, the repairs it took, and why it gave none."""

    verdicts: Mapping[int, Verdict]
    repairs: tuple[str, ...]
    problem: str | None


def write_judging_prompt(questions: Sequence[str], *, domain: str, difficulty: str, mean_tokens: int) -> Prompt:
    """The prompt that has questions of one cell scored; they are numbered from 1 in their order."""
    words = wording("validate")
    facts = {
        "Domain": domain,
        "Difficulty": difficulty,
        "Length": f"about {mean_tokens} tokens each",
        "Questions": str(len(questions)),
    }
    asked = words.text("user").format(questions=len(questions), tokens=mean_tokens)
    return Prompt(
        system=words.text("system"),
        user="\n\n".join([write_facts(facts), asked, write_questions(questions)]),
        schema=SCHEMA,
        schema_name=SCHEMA_NAME,
        max_output_tokens=len(questions) * VERDICT_TOKENS + REASONING_TOKENS,
        version=words.version,
    )


def parse_verdicts(text: str, *, count: int, cut: bool = False) -> ParsedVerdicts:
    """The verdicts of a reply to `count` questions; one without all six scores is not there.

    As lenient as `parse_questions`: never raises, and takes time linear in the text's length.
    """
    read = read_numbered_items(text, _KIND, count=count, cut=cut)
    verdicts = {number: verdict for number, item in read.items.items() if (verdict := _read_verdict(item))}
    repairs = dict(read.repairs)
    if len(verdicts) < len(read.items):
        repairs[Repair.UNUSABLE_ITEM] = None
    problem = read.problem if verdicts or not read.items else "no verdict in the reply has all its scores"
    return ParsedVerdicts(verdicts, tuple(repairs), problem)


def failed_criteria(verdict: Verdict, least: int) -> tuple[str, ...]:
    """The criteria whose score is below `least`, in the order of `CRITERIA`; none: the question is accepted."""
    return tuple(name for name in CRITERIA if verdict.scores[name] < least)


def _read_verdict(item: Members) -> Verdict | None:
    nested = item.get("scores")
    values: Members = dict(nested.members) if isinstance(nested, Object) else item
    scores = {name: score for name in CRITERIA if (score := _read_score(values.get(name)))}
    if len(scores) < len(CRITERIA):
        return None
    reason = value_of(item, ("reason", "reasons", "comment"))
    return Verdict(scores, one_line(reason, REASON_CHARACTERS) if isinstance(reason, str) else "")


def _read_score(value: Node) -> int | None:
    text = value.text if isinstance(value, Literal) else value
    score = _WRITTEN_SCORE.fullmatch(text[:12]) if isinstance(text, str) else None
    return int(score[1]) if score else None
