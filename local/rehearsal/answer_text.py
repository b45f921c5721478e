"""Writes the text of one answer near a given length: prose for short ones, sections for long ones, code in coding."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from string import Template as CodeTemplate
from typing import Any

import yaml

from local.rehearsal.arithmetic import solve
from local.rehearsal.grammar import Dice, Template, Words, compile_templates, slots_of, to_phrase
from shared.questions.tokens import count_tokens

_FILE = Path(__file__).parent / "answers.yaml"
_GENERAL = "general"
_SECTION_SENTENCES = 5
_CODE_SHARE = 0.8  # of the answers in coding
_MOST_CODE = 0.6  # of an answer's length
_PHRASE_WITHIN = 600  # characters of the question
_RUN = re.compile(r"\b[a-z]{2,}(?: [a-z]{2,}){0,2}\b")
_STOP = re.compile(
    r"\b(?:a|an|the|of|in|on|to|is|are|was|be|it|its|if|or|and|for|by|with|from|at|as|when|while|what|which|who|why|how"
    r"|where|does|do|did|can|could|would|should|will|may|might|must|has|have|had|this|that|these|those|one|most|more"
    r"|than|there|then|so|no|not|you|your|name|give|say|list|use|using|find|explain|write|show|tell|between|without)\b"
)
_PLACEHOLDER_PHRASE = "the question"


@dataclass(frozen=True, slots=True)
class AnswerGrammar:
    """The sentences of one domain's answers, and pieces of code where the domain has them."""

    opening: tuple[Template, ...]
    body: tuple[Template, ...]
    latex: tuple[Template, ...]
    closing: tuple[Template, ...]
    headings: tuple[str, ...]
    code: tuple[CodeTemplate, ...]
    calls: tuple[str, ...]


@cache
def _read() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return content


@lru_cache(maxsize=256)
def answer_grammar_for(domain: str) -> AnswerGrammar:
    """The grammar of a folded domain name; a domain without sentences of its own gets the general ones."""
    content = _read()
    general = content[_GENERAL]
    own = content.get(domain.replace(" ", "_"), {})
    return AnswerGrammar(
        opening=compile_templates(domain, general["opening"]),
        body=compile_templates(domain, [*own.get("body", ()), *own.get("latex", ()), *general["body"]]),
        latex=compile_templates(domain, own.get("latex", ())),
        closing=compile_templates(domain, general["closing"]),
        headings=tuple(general["heading"]),
        code=tuple(CodeTemplate(text) for text in own.get("code", ())),
        calls=tuple(phrase.text for phrase in slots_of(domain).get("call", ())),
    )


def write_answer(dice: Dice, domain: str, question: str, target: float, *, long: bool) -> str:
    """The answer to a question of a folded domain name, about `target` tokens long.

    Its mean over many is the target's: the last sentence comes with the chance that makes it so.
    """
    grammar = answer_grammar_for(domain)
    phrase = to_phrase(_phrase_of(question))
    words = Words(phrase, phrase)
    equation = None if long else solve(question)
    ends = [f"So {equation}."] if equation else []
    blocks = [_pick(dice, grammar.opening).write(dice, words).text]
    if grammar.code and not equation and dice.unit() < _CODE_SHARE:
        blocks += _write_code(dice, grammar, target * _MOST_CODE)
    if long:
        ends = [_pick(dice, grammar.closing).write(dice, words).text]
    spent = float(count_tokens("\n\n".join([*blocks, *ends])))
    sentences: list[str] = []
    left: list[Template] = []
    while True:
        if long and len(sentences) % _SECTION_SENTENCES == 0:
            heading = f"**{grammar.headings[dice.below(len(grammar.headings))]}.** "
        else:
            heading = ""
        left = left or list(grammar.body)
        sentence = heading + left.pop(dice.below(len(left))).write(dice, words).text
        tokens = count_tokens(f" {sentence}")
        # The chance makes the mean right: rounding to the nearer side would not for sentences of unequal length.
        if spent + tokens > target and dice.unit() * tokens >= target - spent:
            break
        sentences.append(sentence)
        spent += tokens
    return _lay_out(blocks, sentences, ends, long=long)


def write_latex_sentence(dice: Dice) -> str:
    """A sentence with LaTeX in it, for an answer of any domain."""
    phrase = to_phrase(_PLACEHOLDER_PHRASE)
    return _pick(dice, answer_grammar_for("math").latex).write(dice, Words(phrase, phrase)).text


def _lay_out(blocks: list[str], sentences: list[str], ends: list[str], *, long: bool) -> str:
    if long:
        sections = (
            " ".join(sentences[start : start + _SECTION_SENTENCES])
            for start in range(0, len(sentences), _SECTION_SENTENCES)
        )
        return "\n\n".join([*blocks, *sections, *ends])
    if len(blocks) > 1:
        return "\n\n".join([*blocks, *filter(None, [" ".join([*sentences, *ends])])])
    return " ".join([*blocks, *sentences, *ends])


def _write_code(dice: Dice, grammar: AnswerGrammar, most_tokens: float) -> list[str]:
    """A block of Python that is no longer than that; none where there is no such."""
    call, number = grammar.calls[dice.below(len(grammar.calls))], 2 + dice.below(90)
    blocks = [f"```python\n{template.substitute(call=call, n=number).strip()}\n```" for template in grammar.code]
    fitting = [block for block in blocks if count_tokens(block) <= most_tokens]
    return [fitting[dice.below(len(fitting))]] if fitting else []


def _phrase_of(question: str) -> str:
    """The longest run of up to three plain words of the question."""
    text = _STOP.sub(",", question[:_PHRASE_WITHIN])
    return max(_RUN.findall(text), key=len, default=_PLACEHOLDER_PHRASE)


def _pick(dice: Dice, templates: Sequence[Template]) -> Template:
    return templates[dice.below(len(templates))]
