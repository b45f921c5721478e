"""Makes the text of an answer, with whatever is meant to be wrong with it."""

import json
from dataclasses import dataclass, field
from random import Random

from local.rehearsal.answer_text import write_latex_sentence
from local.rehearsal.answerer import Answerers
from local.rehearsal.ask import Ask
from local.rehearsal.faults import Fault
from local.rehearsal.grammar import Dice
from local.rehearsal.judge import Judges
from local.rehearsal.plants import Plants
from local.rehearsal.plausible import UnknownSchema, fill_schema
from local.rehearsal.pools import Pools
from local.rehearsal.poor import spoil, spoil_answers, spoil_verdicts
from local.rehearsal.wire import Asked, Ending, Made
from local.rehearsal.writing import LONG_FROM_TOKENS
from shared.questions.tokens import count_tokens

_REFUSAL = "I'm sorry, but I can't help with that request."
_ENDINGS = {Fault.REFUSAL: Ending.REFUSED, Fault.FILTER: Ending.FILTERED}
_ENVELOPE_TOKENS = 12  # braces, the key, quotes and commas
_QUESTION_OVERHEAD_TOKENS = 1.5
_VERDICT_TOKENS = 49.0
_ANSWER_OVERHEAD_TOKENS = 14.0


@dataclass(slots=True)
class Players:
    """Those who play the models: who writes questions, who judges them and who answers them."""

    pools: Pools = field(default_factory=Pools)
    plants: Plants = field(default_factory=Plants)
    judges: Judges = field(default_factory=Judges)
    answerers: Answerers = field(default_factory=Answerers)


def expected_output_tokens(asked: Asked, ask: Ask | None, answerers: Answerers) -> float:
    """What an answer will take, for the quotas; settled when it is made."""
    if ask is None:
        return 60.0
    match asked.wanted:
        case "verdicts":
            return len(ask.given) * _VERDICT_TOKENS + _ENVELOPE_TOKENS
        case "answers":
            overhead = len(ask.given) * _ANSWER_OVERHEAD_TOKENS + _ENVELOPE_TOKENS
            return answerers.expected_tokens(ask.given.values()) + overhead
        case _:
            return ask.questions * (ask.mean_tokens + _QUESTION_OVERHEAD_TOKENS) + _ENVELOPE_TOKENS


def make_reply(asked: Asked, ask: Ask | None, players: Players, fault: Fault | None, random: Random) -> Made:
    """The answer to a request; faults that are not about its text are not looked at."""
    if fault in _ENDINGS:
        filtered = fault is Fault.FILTER
        return Made("" if filtered else _REFUSAL, _ENDINGS[fault], 0 if filtered else count_tokens(_REFUSAL), 0)
    limit = asked.max_output_tokens
    reasons_long = (
        ask is not None
        and asked.wanted == "answers"
        and players.answerers.reasons_long(ask.given.values(), asked.model)
    )
    if reasons_long and limit is not None and limit < players.answerers.reasoning_room:
        return Made("", Ending.CUT, limit, limit)
    content, planted = _make_content(asked, ask, players, fault, random)
    text = _write(content, fault, random)
    tokens = count_tokens(text)
    reasoning = round(tokens * asked.reasoning_share)
    if reasons_long:
        reasoning = max(reasoning, players.answerers.reasoning_room // 2)
    if fault is Fault.CUT:
        text = text[: int(len(text) * random.uniform(0.3, 0.9))]
        return Made(text, Ending.CUT, count_tokens(text) + reasoning, reasoning, planted)
    if limit is not None and tokens + reasoning > limit:
        # What a limit does to a real answer, too: reasoning comes first and may leave nothing.
        reasoning = min(reasoning, limit)
        return Made(text[: len(text) * (limit - reasoning) // tokens], Ending.CUT, limit, reasoning, planted)
    return Made(text, Ending.COMPLETE, tokens + reasoning, reasoning, planted)


def _make_content(
    asked: Asked, ask: Ask | None, players: Players, fault: Fault | None, random: Random
) -> tuple[object, tuple[int, ...]]:
    """What the JSON holds, and the lines of the plants in it."""
    if ask is None:
        return _fill(asked, random), ()
    match asked.wanted:
        case "verdicts":
            return {"verdicts": _judge(ask, players.judges, fault, random)}, ()
        case "answers":
            return {"answers": _answer(asked, ask, players.answerers, fault, random)}, ()
        case _:
            questions = _write_questions(ask, players.pools, fault, random)
            planted = players.plants.sow(questions, random)
            return {"questions": questions}, tuple(planted)


def _write_questions(ask: Ask, pools: Pools, fault: Fault | None, random: Random) -> list[str]:
    questions = pools.draw(ask, random)
    if fault is Fault.LATEX:
        place = random.randrange(len(questions))
        latex = pools.draw_latex(ask, random)
        # A long question stays as long as was asked for.
        long = ask.mean_tokens >= LONG_FROM_TOKENS
        questions[place] = f"{questions[place]}\n\n{latex}" if long else latex
    return spoil(questions, ask, random) if fault is Fault.POOR else questions


def _judge(ask: Ask, judges: Judges, fault: Fault | None, random: Random) -> list[dict[str, object]]:
    verdicts = judges.verdicts(ask.given, random)
    if fault is Fault.LATEX and verdicts:
        verdict = random.choice(verdicts)
        verdict["reason"] = f"{verdict['reason']} {_draw_latex(random)}".strip()
    return spoil_verdicts(verdicts) if fault is Fault.POOR else verdicts


def _answer(
    asked: Asked, ask: Ask, answerers: Answerers, fault: Fault | None, random: Random
) -> list[dict[str, object]]:
    texts = answerers.answers(ask.given, domain=ask.domain, model=asked.model, random=random)
    if fault is Fault.LATEX and texts:
        number = random.choice(list(texts))
        texts[number] = f"{texts[number]} {_draw_latex(random)}"
    answers: list[dict[str, object]] = [{"number": number, "answer": text} for number, text in texts.items()]
    return spoil_answers(answers) if fault is Fault.POOR else answers


def _draw_latex(random: Random) -> str:
    return write_latex_sentence(Dice(random.randbytes(8)))


def _write(content: object, fault: Fault | None, random: Random) -> str:
    text = json.dumps(content, ensure_ascii=False)
    if fault is Fault.LATEX:
        # `\\frac` becomes `\frac`: an escape that is invalid, or, worse, a valid form feed.
        return text.replace("\\\\", "\\")
    return _break(text, content, random) if fault is Fault.BROKEN else text


def _fill(asked: Asked, random: Random) -> object:
    try:
        return fill_schema(asked.schema, random) if asked.schema is not None else {"questions": []}
    except UnknownSchema:
        return {"questions": []}


def _break(text: str, content: object, random: Random) -> str:
    match random.randrange(4):
        case 0:
            end = 2 if text.endswith("]}") else 1
            return f"{text[:-end]},{text[-end:]}"
        case 1:
            return f"```json\n{text}\n```"
        case 2:
            return f"Here is what you asked for:\n\n{text}\n\nLet me know if you would like more."
        case _:
            return _single_quoted(content)


def _single_quoted(content: object) -> str:
    """The JSON as a Python programmer would print it."""
    if isinstance(content, str):
        inside = json.dumps(content, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
        return f"'{inside}'"
    if isinstance(content, dict):
        pairs = (f"{_single_quoted(key)}: {_single_quoted(value)}" for key, value in content.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(content, list):
        return "[" + ", ".join(_single_quoted(value) for value in content) + "]"
    return json.dumps(content)
