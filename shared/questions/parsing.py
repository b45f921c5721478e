"""A model's reply becomes its questions: all that are whole, as they were meant, and none that is not."""

import re
from dataclasses import dataclass, field

import orjson

from shared.questions.json_scan import Array, Node, Object, Scanner
from shared.questions.latex import looks_damaged
from shared.questions.repairs import Repair
from shared.questions.reply import end_of_reasoning, list_start, name_surroundings

_TEXT_KEYS = ("question", "text", "prompt")
_LIST_KEYS = ("questions", "prompts")
_NUMBERED = re.compile(r"(?:q|question)?[ _#-]*\d+", re.IGNORECASE)
_LIST_START = list_start("questions")


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """The whole questions of a reply in its order, the names of the repairs it took, and why it gave nothing."""

    questions: tuple[str, ...]
    repairs: tuple[str, ...]
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one pass over a reply gave; `empty_list` if a list was there but nothing was in it."""

    questions: tuple[str, ...]
    repairs: dict[Repair, None]
    empty_list: bool


@dataclass(slots=True)
class _Gathered:
    """Questions found in a value; `named` if a key said that they are questions."""

    questions: list[str] = field(default_factory=list)
    named: bool = False
    repairs: list[Repair] = field(default_factory=list)

    def note(self, repair: Repair) -> None:
        if repair not in self.repairs:
            self.repairs.append(repair)


def parse_questions(text: str, *, cut: bool = False) -> ParsedReply:
    """The questions of a reply that should be `{"questions": ["...", ...]}` and may be almost that.

    `cut` says that the provider stopped the reply at its length limit; a reply that ends inside its list is cut
    whatever the provider said. The last item of a cut list counts only if its string was closed and the text went on
    behind it (an object in the list: if it was closed). Never raises; takes time linear in the text's length.
    What becomes of single backslashes is told in `shared.questions.latex`.
    """
    if (questions := _read_strictly(text)) is not None:
        problem = None if questions else "the list of questions is empty"
        return ParsedReply(questions, (Repair.CUT,) if cut else (), problem)
    if not text.strip().strip("\ufeff"):
        return ParsedReply((), (), "empty reply")
    begin = end_of_reasoning(text)
    reading = _read_leniently(text, begin)
    if not reading.questions and (start := _LIST_START.search(text, begin + 1)):
        # Brackets or quotes of the prose have swallowed the list: read again from where it must start.
        reading = _read_leniently(text, start.start())
    repairs = dict(reading.repairs)
    if text.startswith("\ufeff"):
        repairs[Repair.BYTE_ORDER_MARK] = None
    if cut:
        repairs[Repair.CUT] = None
    return ParsedReply(reading.questions, tuple(repairs), None if reading.questions else _explain(reading))


def _read_strictly(text: str) -> tuple[str, ...] | None:
    """The questions of a reply that is exactly what was asked for, by far the most frequent one."""
    # A repeated key would hide a list.
    if looks_damaged(text) or text.count('"questions"') != 1:
        return None
    try:
        reply = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(reply, dict) or len(reply) != 1 or not isinstance(items := reply.get("questions"), list):
        return None
    return tuple(items) if all(isinstance(item, str) for item in items) else None


def _read_leniently(text: str, begin: int) -> _Reading:
    values = Scanner(text, begin).values()
    read = [(found, _gather(found.node)) for found in values]
    used = [pair for pair in read if pair[1].named and pair[1].questions] or [
        pair for pair in read if pair[1].questions
    ]
    repairs: dict[Repair, None] = {}
    lists: dict[tuple[str, ...], None] = {}
    for found, gathered in used or read:
        repairs |= dict.fromkeys(found.repairs) | dict.fromkeys(gathered.repairs)
        if not found.closed:
            repairs[Repair.CUT] = None
        questions = tuple(gathered.questions)
        if questions in lists and questions:
            repairs[Repair.REPEATED_LIST] = None
        lists[questions] = None
    if used:
        repairs |= dict.fromkeys(name_surroundings(text, [found for found, _ in used]))
    empty = any(gathered.named for _, gathered in read)
    return _Reading(tuple(question for part in lists for question in part), repairs, empty_list=empty)


def _explain(reading: _Reading) -> str:
    if Repair.CUT in reading.repairs:
        return "the reply ends before its first whole question"
    return "the list of questions is empty" if reading.empty_list else "no list of questions in the reply"


def _gather(node: Node) -> _Gathered:
    """The questions in a value at the top level."""
    gathered = _Gathered()
    if isinstance(node, Array) and any(isinstance(item, str) for item in node.items):
        gathered.note(Repair.BARE_LIST)
    _gather_into(gathered, node)
    return gathered


def _gather_into(gathered: _Gathered, node: Node) -> None:
    if isinstance(node, str):
        gathered.questions.append(node)
    elif isinstance(node, Array):
        for item in node.items:
            before = len(gathered.questions)
            _gather_into(gathered, item)
            if isinstance(item, Array):
                gathered.note(Repair.WRAPPER)
            if len(gathered.questions) == before and (item is None or (isinstance(item, Object) and item.members)):
                gathered.note(Repair.ITEM_WITHOUT_TEXT)
    elif isinstance(node, Object):
        _gather_from_object(gathered, node)


def _gather_from_object(gathered: _Gathered, node: Object) -> None:
    members = [(key.strip().casefold(), value) for key, value in node.members if value is not None]
    if lists := [(key, value) for key, value in members if key in _LIST_KEYS]:
        gathered.named = True
        for key, value in lists:
            if key != "questions" or not isinstance(value, Array):
                gathered.note(Repair.WRAPPER)
            _gather_into(gathered, value)
        return
    for name in _TEXT_KEYS:
        if texts := [value for key, value in members if key == name and isinstance(value, str)]:
            gathered.named = True
            gathered.note(Repair.QUESTION_OBJECTS)
            gathered.questions += texts
            return
    numbered = [value for key, value in members if isinstance(value, str) and _NUMBERED.fullmatch(key)]
    if numbered and len(numbered) == len(members):
        gathered.named = True
        gathered.questions += numbered
    else:
        for _, value in members:
            if not isinstance(value, str):
                _gather_into(gathered, value)
    if gathered.questions:
        gathered.note(Repair.WRAPPER)
