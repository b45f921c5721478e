"""Reads replies such as `{"answers": [{"number": 1, "answer": "..."}, ...]}`, or almost that: whole items by number."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from shared.questions.json_scan import Array, Found, Literal, Node, Object, Scanner
from shared.questions.latex import looks_damaged
from shared.questions.repairs import Repair
from shared.questions.reply import end_of_reasoning, list_start, name_surroundings

_NUMBER_KEYS = ("number", "question_number", "question", "id", "index", "no", "n")
_NUMBER = re.compile(r"\s*(?:q|question)?[ _#-]*(\d{1,6})(?:\.0+)?\s*", re.IGNORECASE | re.ASCII)
_GAPS = re.compile(r"[\s-]+")
# With these, what has no number may be another item than it seems, or a part of one.
_MAY_HIDE_ITEMS = {Repair.CUT, Repair.UNCLEAR_QUOTES, Repair.OVERLONG, Repair.STRAY_TEXT}
MOST_KEYS = 16
"""Different keys of the items of a reply that is read the fast way."""

Members = Mapping[str, Node]
"""The values of an item by their folded keys; of a repeated key the first one counts."""


@dataclass(frozen=True, slots=True)
class ItemKind:
    """What a stage's replies hold, such as "answers", each an "answer".

    A text or number under one of `keys` tells an item; the first of them is the one that was asked for. With
    `texts` an item is left out as well if text stands between its members: its own may have ended too early.
    """

    list_key: str
    name: str
    keys: tuple[str, ...]
    texts: bool


@dataclass(frozen=True, slots=True)
class NumberedItems:
    """The whole items of a reply by the number of their question, what it took, and why there is none."""

    items: Mapping[int, Members]
    repairs: dict[Repair, None]
    problem: str | None


@dataclass(slots=True)
class _Gathered:
    """Items in the order of a value; `named` if a key said what they are, `bare` if some were texts alone."""

    items: list[Members] = field(default_factory=list)
    named: bool = False
    bare: bool = False
    repairs: dict[Repair, None] = field(default_factory=dict)


def read_numbered_items(text: str, kind: ItemKind, *, count: int, cut: bool) -> NumberedItems:
    """The items of a reply to `count` questions, numbered 1 to `count`. Never raises; takes linear time.

    An item counts if its object was closed. Items without any number are taken in their order if there are exactly as
    many as questions. `cut` says that the provider stopped the reply at its length limit.
    """
    repairs: dict[Repair, None] = {}
    if text.startswith("\ufeff"):
        repairs[Repair.BYTE_ORDER_MARK] = None
    if cut:
        repairs[Repair.CUT] = None
    if not text.strip().strip("\ufeff"):
        return NumberedItems({}, {}, "empty reply")
    if (items := _read_strictly(text, kind)) is None:
        gathered = _read_leniently(text, kind)
        items, repairs = gathered.items, gathered.repairs | repairs
        named = gathered.named
    else:
        named = True
    numbered = dict(_number(items, count, repairs))
    if numbered:
        return NumberedItems(numbered, repairs, None)
    if Repair.CUT in repairs:
        problem = f"the reply ends before its first whole {kind.name}"
    elif items:
        problem = f"no {kind.name} in the reply has the number of a question"
    else:
        problem = f"the list of {kind.list_key} is empty" if named else f"no list of {kind.list_key} in the reply"
    return NumberedItems({}, repairs, problem)


def value_of(item: Members, names: Sequence[str]) -> Node:
    """The first of the item's values that has one of these names."""
    return next((item[name] for name in names if item.get(name) is not None), None)


def _read_strictly(text: str, kind: ItemKind) -> list[Members] | None:
    """The items of a reply that is exactly what was asked for, by far the most frequent one."""
    if looks_damaged(text) or text.count(f'"{kind.list_key}"') != 1:
        return None
    try:
        reply = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    items = reply.get(kind.list_key) if isinstance(reply, dict) and len(reply) == 1 else None
    if not isinstance(items, list) or not all(_is_plain(item, kind) for item in items):
        return None
    used = Counter(key for item in items for key in item)
    # Which of two values a key had first is lost.
    if len(used) > MOST_KEYS or any(text.count(f'"{key}"') != times for key, times in used.items()):
        return None
    return [
        {key: value if isinstance(value, str) else Literal(str(value)) for key, value in item.items()} for item in items
    ]


def _is_plain(item: object, kind: ItemKind) -> bool:
    """Whether it has the keys asked for, and values that JSON keeps as they were written; a float's digits are lost."""
    if not isinstance(item, dict) or kind.keys[0] not in item or not _is_number(item.get("number")):
        return False
    return all(isinstance(value, str) or _is_number(value) for value in item.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_leniently(text: str, kind: ItemKind) -> _Gathered:
    begin = end_of_reasoning(text)
    gathered = _read_from(text, begin, kind)
    if not gathered.items and (start := list_start(kind.list_key).search(text, begin + 1)):
        # Brackets or quotes of the prose have swallowed the list: read again from where it must start.
        gathered = _read_from(text, start.start(), kind)
    return gathered


def _read_from(text: str, begin: int, kind: ItemKind) -> _Gathered:
    found = Scanner(text, begin, keep_literals=True).values()
    read = [(value, _gather(value, kind)) for value in found]
    used = [pair for pair in read if pair[1].named and pair[1].items] or [pair for pair in read if pair[1].items]
    surroundings = dict.fromkeys(name_surroundings(text, [value for value, _ in used]))
    whole = _Gathered(named=any(gathered.named for _, gathered in read))
    for value, gathered in used or read:
        whole.repairs |= dict.fromkeys(value.repairs) | gathered.repairs
        if not value.closed:
            whole.repairs[Repair.CUT] = None
        # In prose, a list of texts or an object without a number may be a part of what is said.
        if gathered.named or Repair.PROSE_AROUND not in surroundings:
            whole.items += gathered.items
        elif not gathered.bare:
            whole.items += [item for item in gathered.items if _number_of(item) is not None]
    if used:
        whole.repairs |= surroundings
    return whole


def _gather(found: Found, kind: ItemKind) -> _Gathered:
    gathered = _Gathered()
    broken = Repair.STRAY_TEXT in found.repairs
    _Gatherer(gathered, kind, broken=broken).gather(found.node)
    if isinstance(found.node, Array) and gathered.items:
        gathered.repairs[Repair.BARE_LIST] = None
    return gathered


class _Gatherer:
    """Walks one value; `broken` if text was left out of it, so that a list's end may have been inside a string."""

    def __init__(self, gathered: _Gathered, kind: ItemKind, *, broken: bool) -> None:
        self._gathered = gathered
        self._kind = kind
        self._broken = broken

    def gather(self, node: Array | Object) -> None:
        if isinstance(node, Object):
            self._gather_object(node)
            return
        for item in node.items:
            if isinstance(item, Object):
                self._gather_object(item)
            elif isinstance(item, Array):
                self._note(Repair.WRAPPER)
                self.gather(item)
            else:
                self._take_text(item)

    def _gather_object(self, node: Object) -> None:
        members: dict[str, Node] = {}
        for key, value in node.members:
            members.setdefault(_GAPS.sub("_", key.strip().casefold()), value)
        lists = [value for key, value in node.members if key.strip().casefold() == self._kind.list_key]
        if lists:
            self._gathered.named = True
            for value in lists:
                self._gather_named(value)
        elif "number" in members or any(isinstance(members.get(key), str | Literal) for key in self._kind.keys):
            self._take_item(node, members)
        elif not self._gather_by_key(node, members):
            self._gather_wrapped(node)

    def _gather_wrapped(self, node: Object) -> None:
        for _, value in node.members:
            if isinstance(value, Array | Object):
                self._note(Repair.WRAPPER)
                self.gather(value)

    def _gather_named(self, value: Node) -> None:
        if isinstance(value, Array):
            self.gather(value)
            return
        self._note(Repair.WRAPPER)
        if isinstance(value, Object):
            self.gather(value)
        elif value is not None:
            self._take_text(value)

    def _gather_by_key(self, node: Object, members: Members) -> bool:
        """Takes `{"1": "...", "2": {...}}`, where the keys are the numbers."""
        if not members or not all(map(_NUMBER.fullmatch, members)):
            return False
        self._note(Repair.WRAPPER)
        self._gathered.bare = True
        for key, value in node.members:
            if isinstance(value, Object):
                inner = {_GAPS.sub("_", name.strip().casefold()): each for name, each in reversed(value.members)}
                self._take_item(value, {**inner, "number": key})
            elif value is not None and not node.stray and not node.implied_end:
                self._gathered.items.append({"number": key, self._kind.keys[0]: value})
        return True

    def _take_item(self, node: Object, members: Members) -> None:
        if (node.implied_end and self._broken) or (node.stray and self._kind.texts):
            self._gathered.items.append({key: value for key, value in members.items() if key in _NUMBER_KEYS})
        else:
            self._gathered.items.append(members)

    def _take_text(self, text: Node) -> None:
        self._gathered.bare = True
        self._gathered.items.append({} if text is None else {self._kind.keys[0]: text})

    def _note(self, repair: Repair) -> None:
        self._gathered.repairs[repair] = None


def _number(items: Sequence[Members], count: int, repairs: dict[Repair, None]) -> Iterator[tuple[int, Members]]:
    numbers = [_number_of(item) for item in items]
    if all(number is None for number in numbers):
        if len(items) == count and not repairs.keys() & _MAY_HIDE_ITEMS:
            repairs[Repair.UNNUMBERED] = None
            yield from enumerate(items, start=1)
        elif items:
            repairs[Repair.UNKNOWN_NUMBER] = None
        return
    if count not in numbers and numbers == list(range(len(numbers))):
        repairs[Repair.NUMBERED_FROM_ZERO] = None
        numbers = list(range(1, len(numbers) + 1))
    seen: set[int] = set()
    for number, item in zip(numbers, items, strict=True):
        if number is None or not 1 <= number <= count:
            repairs[Repair.UNKNOWN_NUMBER] = None
        elif number in seen:
            repairs[Repair.REPEATED_NUMBER] = None
        else:
            seen.add(number)
            yield number, item


def _number_of(item: Members) -> int | None:
    for name in _NUMBER_KEYS:
        value = item.get(name)
        text = value.text if isinstance(value, Literal) else value
        if isinstance(text, str) and len(text) < 40 and (number := _NUMBER.fullmatch(text)):
            return int(number[1])
    return None
