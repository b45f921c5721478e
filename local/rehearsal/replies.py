"""Makes the text of an answer, with whatever is meant to be wrong with it."""

import json
from random import Random

from local.rehearsal.ask import Ask
from local.rehearsal.faults import Fault
from local.rehearsal.plants import Plants
from local.rehearsal.plausible import UnknownSchema, fill_schema
from local.rehearsal.pools import Pools
from local.rehearsal.poor import spoil
from local.rehearsal.wire import Asked, Ending, Made
from local.rehearsal.writing import LONG_FROM_TOKENS
from shared.questions.tokens import count_tokens

_REFUSAL = "I'm sorry, but I can't help with that request."
_ENDINGS = {Fault.REFUSAL: Ending.REFUSED, Fault.FILTER: Ending.FILTERED}
_ENVELOPE_TOKENS = 12  # braces, the key, quotes and commas
_QUESTION_OVERHEAD_TOKENS = 1.5
_NO_PLANTS = Plants()


def expected_output_tokens(ask: Ask | None) -> float:
    """What an answer will take, for the quotas; settled when it is made."""
    if ask is None:
        return 60.0
    return ask.questions * (ask.mean_tokens + _QUESTION_OVERHEAD_TOKENS) + _ENVELOPE_TOKENS


def make_reply(
    asked: Asked, ask: Ask | None, pools: Pools, fault: Fault | None, random: Random, *, plants: Plants = _NO_PLANTS
) -> Made:
    """The answer to a request; faults that are not about its text are not looked at."""
    if fault in _ENDINGS:
        filtered = fault is Fault.FILTER
        return Made("" if filtered else _REFUSAL, _ENDINGS[fault], 0 if filtered else count_tokens(_REFUSAL), 0)
    text, planted = _write_text(asked, ask, pools, fault, random, plants=plants)
    tokens = count_tokens(text)
    reasoning = round(tokens * asked.reasoning_share)
    if fault is Fault.CUT:
        text = text[: int(len(text) * random.uniform(0.3, 0.9))]
        return Made(text, Ending.CUT, count_tokens(text) + reasoning, reasoning, planted)
    limit = asked.max_output_tokens
    if limit is not None and tokens + reasoning > limit:
        # What a limit does to a real answer, too: reasoning comes first and may leave nothing.
        reasoning = min(reasoning, limit)
        return Made(text[: len(text) * (limit - reasoning) // tokens], Ending.CUT, limit, reasoning, planted)
    return Made(text, Ending.COMPLETE, tokens + reasoning, reasoning, planted)


def _write_text(
    asked: Asked, ask: Ask | None, pools: Pools, fault: Fault | None, random: Random, *, plants: Plants
) -> tuple[str, tuple[int, ...]]:
    """The text, and the lines of the plants in it."""
    planted: list[int] = []
    if ask is None:
        content = _fill(asked, random)
    else:
        questions = pools.draw(ask, random)
        if fault is Fault.LATEX:
            place = random.randrange(len(questions))
            latex = pools.draw_latex(ask, random)
            # A long question stays as long as was asked for.
            long = ask.mean_tokens >= LONG_FROM_TOKENS
            questions[place] = f"{questions[place]}\n\n{latex}" if long else latex
        if fault is Fault.POOR:
            questions = spoil(questions, ask, random)
        planted = plants.sow(questions, random)
        content = {"questions": questions}
    text = json.dumps(content, ensure_ascii=False)
    if fault is Fault.LATEX:
        # `\\frac` becomes `\frac`: an escape that is invalid, or, worse, a valid form feed.
        return text.replace("\\\\", "\\"), tuple(planted)
    return _break(text, content, random) if fault is Fault.BROKEN else text, tuple(planted)


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
