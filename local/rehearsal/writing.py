"""Writes one question from (pool key, index): short ones of a sentence, long ones of several paragraphs."""

import math
from statistics import NormalDist

from local.rehearsal.ask import Ask
from local.rehearsal.grammar import Dice, Grammar, Phrase, Template, Words
from shared.questions.tokens import count_tokens

LONG_FROM_TOKENS = 45.0
SPREAD_SHORT = 0.24
SPREAD_LONG = 0.18
FORM_SHARE = 0.3
SHORTER_BESIDE_CONTENT = 3.0  # tokens
_CANDIDATES = 7
_TAIL_FROM_TOKENS = 2.5
_NORMAL = NormalDist()
_SHARES = {"background": 0.36, "data": 0.25, "constraints": 0.17, "parts": 0.22}
_HEADINGS = {
    "background": ("Background", "What is known", "Situation", "The story so far"),
    "data": ("Records", "Material", "Given", "Notes"),
    "constraints": ("Rules", "Conditions", "Constraints", "Please observe"),
    "parts": ("Tasks", "Questions", "What you should do", "To be answered"),
}
_LABELS = "abcdefghijklmnopqrstuvwxyz"


def spread(unit: float, *, long: bool) -> float:
    """A length against the mean one, by its place in [0, 1) among all: lognormal, and 1 on average."""
    sigma = SPREAD_LONG if long else SPREAD_SHORT
    return math.exp(sigma * _NORMAL.inv_cdf(min(max(unit, 0.01), 0.99)) - sigma * sigma / 2)


def usual_aim(ask: Ask) -> float:
    """The mean length that the questions of a prompt are written for, in tokens.

    Content makes a short question longer than it should be, so those of a prompt that brings some aim lower.
    """
    beside_content = ask.include and ask.mean_tokens < LONG_FROM_TOKENS
    return ask.mean_tokens - SHORTER_BESIDE_CONTENT if beside_content else ask.mean_tokens


def write_question(dice: Dice, grammar: Grammar, words: Words, ask: Ask, *, target: float, content: str = "") -> str:
    """A question of about `target` tokens: a short one takes up `content`, a long one lists all that is to include."""
    if ask.mean_tokens >= LONG_FROM_TOKENS:
        return _write_long(dice, grammar, words, ask, target)
    if not content:
        return _write_short(dice, grammar, words, target)
    given = f", given {content}"
    text = _write_short(dice, grammar, words, target - count_tokens(given))
    return f"{text[:-1]}{given}{text[-1]}" if text[-1] in "?." else f"{text}{given}"


def write_latex(dice: Dice, grammar: Grammar, words: Words) -> str:
    """A short question that holds LaTeX, whatever its domain."""
    return grammar.latex[dice.below(len(grammar.latex))].write(dice, words).text


def _write_short(dice: Dice, grammar: Grammar, words: Words, target: float) -> str:
    templates = grammar.easy
    if dice.unit() < grammar.latex_share:
        templates = grammar.latex
    elif dice.unit() < FORM_SHARE:
        templates = grammar.fitting or templates
    text = _pick_near(dice, templates, words, target).write(dice, words)
    while target - text.tokens >= _TAIL_FROM_TOKENS and text.text[-1] in "?.":
        tail = _pick_near(dice, grammar.tails, words, target - text.tokens).write(dice, words)
        added = tail.text[0].lower() + tail.text[1:]
        if added in text.text:
            break
        text = Phrase(f"{text.text[:-1]}, {added}{text.text[-1]}", text.tokens + tail.tokens + 1)
    return text.text


def _write_long(dice: Dice, grammar: Grammar, words: Words, ask: Ask, target: float) -> str:
    opening = _pick(dice, grammar.hard["opening"]).write(dice, words)
    closing = _pick(dice, grammar.hard["closing"]).write(dice, words)
    blocks = [opening.text]
    spent = opening.tokens + closing.tokens
    facts = [f"Setting: {ask.setting}." if ask.setting else "", f"Given: {ask.include}." if ask.include else ""]
    lead = " ".join(fact for fact in facts if fact)
    if lead:
        blocks.append(lead)
        spent += len(lead) / 4.5
    budget = max(target - spent, 0.0)
    carried = 0.0
    for section, headings in _HEADINGS.items():
        heading = headings[dice.below(len(headings))]
        allowed = budget * _SHARES[section] + carried
        lines, tokens = _fill(dice, grammar.hard[section], words, allowed - 4)
        if not lines:
            carried = allowed
            continue
        carried = allowed - tokens - 4
        blocks.append(_lay_out(section, heading, lines))
    blocks.append(closing.text)
    return "\n\n".join(blocks)


def _fill(dice: Dice, templates: tuple[Template, ...], words: Words, allowed: float) -> tuple[list[str], float]:
    """Sentences worth about `allowed` tokens; each template once before any comes again with other fillings."""
    lines: list[str] = []
    spent = 0.0
    left: list[Template] = []
    while True:
        left = left or list(templates)
        template = left.pop(dice.below(len(left)))
        expected = template.expected_tokens(words) + 2
        # Rounds to the nearer side: a section ends half a sentence early as often as half a sentence late.
        if spent + expected / 2 > allowed:
            return lines, spent
        line = template.write(dice, words)
        lines.append(line.text)
        spent += line.tokens + (2 if line.text[-1] not in ".?!" else 1)


def _lay_out(section: str, heading: str, lines: list[str]) -> str:
    if section == "background":
        # A prompt of several paragraphs: a new one after every fourth sentence.
        paragraphs = (" ".join(lines[start : start + 4]) for start in range(0, len(lines), 4))
        return "\n\n".join(paragraphs)
    if section == "parts":
        return "\n".join([f"{heading}:", *(f"({_LABELS[i % 26]}) {line}" for i, line in enumerate(lines))])
    return "\n".join([f"{heading}:", *(f"- {line}" for line in lines)])


def _pick_near(dice: Dice, templates: tuple[Template, ...], words: Words, target: float) -> Template:
    """Of a few templates the one that comes nearest to the length; one that would name the topic twice comes last."""
    candidates = [_pick(dice, templates) for _ in range(_CANDIDATES)]

    def miss(template: Template) -> float:
        doubled = template.subtopics and template.topics and words.subtopic == words.topic
        return abs(template.expected_tokens(words) - target) + (1000.0 if doubled else 0.0)

    return min(candidates, key=miss)


def _pick(dice: Dice, templates: tuple[Template, ...]) -> Template:
    return templates[dice.below(len(templates))]
