"""The candidates in a reply: its questions with their tokens, and those that are refused for how they are written."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.questions.gates.parsed_question import ParsedQuestion
from shared.questions.gates.table import Gate
from shared.questions.parsing import ParsedReply, parse_questions
from shared.questions.quality import find_flaw
from shared.questions.tokens import count_tokens


@dataclass(frozen=True, slots=True)
class ReadCandidate:
    """A question of a reply; `flaw` is the reason to refuse it, None if it is fit."""

    text: str
    tokens: int
    flaw: str | None


def read_candidates(
    text: str, *, cut: bool, domain: str, mean_tokens: int, gates: Sequence[Gate]
) -> tuple[tuple[ReadCandidate, ...], ParsedReply]:
    """The candidates of a reply in their order, and how it was parsed."""
    parsed = parse_questions(text, cut=cut)
    read: list[ReadCandidate] = []
    for question in parsed.questions:
        tokens = count_tokens(question)
        flaw = find_flaw(ParsedQuestion(question, domain, tokens, mean_tokens), gates)
        read.append(ReadCandidate(question, tokens, flaw))
    return tuple(read), parsed
