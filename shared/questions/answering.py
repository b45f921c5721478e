"""The stage answer: the prompt that asks for model answers, and the whole answers in its reply."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.questions.json_scan import Literal
from shared.questions.numbered_items import ItemKind, Members, read_numbered_items, value_of
from shared.questions.numbered_questions import write_facts, write_questions
from shared.questions.prompts import REASONING_TOKENS, SHORT_BELOW_TOKENS, WORDS_PER_TOKEN, Prompt
from shared.questions.quality import has_control_character
from shared.questions.repairs import Repair
from shared.questions.reply import end_of_reasoning
from shared.questions.wording import wording

JSON_TOKENS = 30
"""What an answer costs beside its own text: the number, keys and quotes of its object."""
MOST_OUTPUT_TOKENS = 32_768
"""The longest reply that is paid for, whatever is retried."""

SCHEMA_NAME = "answers"
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "answers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"number": {"type": "integer"}, "answer": {"type": "string"}},
                "required": ["number", "answer"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["answers"],
    "additionalProperties": False,
}

_TEXT_KEYS = ("answer", "text", "solution", "response")
_KIND = ItemKind("answers", "answer", _TEXT_KEYS, texts=True)


@dataclass(frozen=True, slots=True)
class ParsedAnswers:
    """The whole answers of a reply by question number, the repairs it took, and why it gave none."""

    answers: Mapping[int, str]
    repairs: tuple[str, ...]
    problem: str | None


def write_answering_prompt(
    questions: Sequence[str], *, domain: str, difficulty: str, answer_tokens: int, tries: int = 0
) -> Prompt:
    """The prompt that has questions of one cell answered in about `answer_tokens` tokens each.

    They are numbered from 1 in their order. `tries` is how often the same was asked for and cut: it gets more room.
    """
    words = wording("answer")
    facts = {"Domain": domain, "Difficulty": difficulty, "Questions": str(len(questions))}
    length = words.text("short" if answer_tokens < SHORT_BELOW_TOKENS else "worked").format(
        tokens=answer_tokens,
        low=round(answer_tokens * 0.5),
        high=math.ceil(answer_tokens * 1.8),
        words=round(answer_tokens * WORDS_PER_TOKEN),
    )
    asked = words.text("user").format(questions=len(questions))
    return Prompt(
        system=words.text("system"),
        user="\n\n".join([write_facts(facts), asked, length, write_questions(questions)]),
        schema=SCHEMA,
        schema_name=SCHEMA_NAME,
        max_output_tokens=answer_room(len(questions), answer_tokens, tries),
        version=words.version,
    )


def answer_room(questions: int, answer_tokens: int, tries: int) -> int:
    """The cap on a reply: answers twice as long as meant, their JSON, and 1,024 tokens of reasoning.

    Doubled with each earlier try, up to `MOST_OUTPUT_TOKENS`.
    """
    room = questions * (answer_tokens * 2 + JSON_TOKENS) + REASONING_TOKENS
    return min(room << min(tries, 16), MOST_OUTPUT_TOKENS)


def parse_answers(text: str, *, count: int, cut: bool = False) -> ParsedAnswers:
    """The answers of a reply to `count` questions, their text exactly as the model meant it.

    An answer that is cut, blank, or holds a control character is not there. A reply of plain text, without a brace,
    is the answer if there was one question and the reply was not cut. Never raises, and takes linear time.
    """
    read = read_numbered_items(text, _KIND, count=count, cut=cut)
    if not read.items and count == 1 and not cut and (plain := _read_plain_text(text)) is not None:
        return ParsedAnswers({1: plain}, (Repair.PLAIN_TEXT,), None)
    repairs = dict(read.repairs)
    answers: dict[int, str] = {}
    for number, item in read.items.items():
        answer = _read_answer(item, repairs)
        if answer is None:
            repairs[Repair.UNUSABLE_ITEM] = None
        else:
            answers[number] = answer
    problem = read.problem if answers or not read.items else "no answer in the reply is whole and fit"
    return ParsedAnswers(answers, tuple(repairs), problem)


def _read_answer(item: Members, repairs: dict[Repair, None]) -> str | None:
    value = value_of(item, _TEXT_KEYS)
    if isinstance(value, Literal):  # "answer": 17
        repairs[Repair.BARE_VALUE] = None
        return value.text
    return value if isinstance(value, str) and _is_fit(value) else None


def _read_plain_text(text: str) -> str | None:
    if "{" in text or "}" in text:
        return None
    plain = text[end_of_reasoning(text) :].removeprefix("</think>").strip("\ufeff \t\r\n")
    if plain.startswith(("[", "```json", '"')):  # the beginning of JSON, which a plain text rarely has
        return None
    return plain if _is_fit(plain) else None


def _is_fit(answer: str) -> bool:
    return bool(answer.strip()) and not has_control_character(answer)
