"""Prompts: a distinct tuple for every ordinal of a cell, and its wording.

DESIGN "Novelty": a fixed prompt repeats itself, so no two prompts of a dataset ask for the same thing.
"""

import hashlib
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from shared.planning.mix import Cell
from shared.questions.atlas import MOST_DOMAINS, DomainAtlas
from shared.questions.content import count_content, draw_content, kinds_for
from shared.questions.wording import wording

SCHEMA_NAME = "questions"
# Strict modes of both providers want every key required and none additional; neither takes a minItems above 1.
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
    "required": ["questions"],
    "additionalProperties": False,
}
SHORT_BELOW_TOKENS = 60
RICH_FROM_TOKENS = 250
WORDS_PER_TOKEN = 0.75  # English prose in o200k; code and formulas take more tokens a word
REASONING_TOKENS = 1024
AVOID_ITEMS = 8
AVOID_CHARACTERS = 100
FIELD_CHARACTERS = 800


@dataclass(frozen=True, slots=True)
class PromptTuple:
    """What one prompt asks for."""

    domain: str
    difficulty: str
    ordinal: int
    topic: str
    subtopic: str
    form: str
    setting: str
    content: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """As stored in the ledger."""
        return asdict(self) | {"content": list(self.content)}


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that a provider needs to be asked."""

    system: str
    user: str
    schema: Mapping[str, object]
    schema_name: str
    max_output_tokens: int
    version: str


def distinct_tuples(atlas: DomainAtlas, difficulty: str) -> int:
    """How many tuples of topic, subtopic, form and setting a cell has; beyond them only the content is new."""
    return len(_leaves(atlas)) * len(atlas.forms_for(difficulty)) * len(atlas.settings)


def topic_at(atlas: DomainAtlas, seed: int, cell: Cell, ordinal: int) -> str:
    """The topic of the tuple number `ordinal`, without the rest of it."""
    leaves = _leaves(atlas)
    round_, place = divmod(ordinal, len(leaves))
    return leaves[_leaf_order(atlas, (seed, cell.domain, cell.difficulty), round_)[place]][0]


@lru_cache(maxsize=2048)  # as many as a process has under way: one is drawn for its prompt and again for its reply
def draw_tuple(atlas: DomainAtlas, seed: int, cell: Cell, ordinal: int, *, inject: bool = True) -> PromptTuple:
    """The cell's prompt tuple number `ordinal` (from 0); pure, the same on every platform.

    A round of ordinals visits every (topic, subtopic) leaf once, topics in turn, in an order shuffled by the seed. From
    round to round a leaf changes both form and setting, and takes every pair of them once before it takes one again.
    Different ordinals give different tuples: after `distinct_tuples` of them by their content alone. Without `inject`
    they have no content.
    """
    leaves = _leaves(atlas)
    forms, settings = atlas.forms_for(cell.difficulty), atlas.settings
    key = (seed, cell.domain, cell.difficulty)
    round_, place = divmod(ordinal, len(leaves))
    leaf = _leaf_order(atlas, key, round_)[place]
    topic, subtopic = leaves[leaf]

    cycle, pair = divmod(round_, len(forms) * len(settings))
    block, turn = divmod(pair, len(forms))
    # The form's turn shifts the setting too. For one form `block` alone moves it, so every pair comes up exactly once.
    form = _shuffle(range(len(forms)), *key, "form", leaf)[turn]
    setting = _shuffle(range(len(settings)), *key, "setting", leaf)[(block + turn) % len(settings)]

    content: tuple[str, ...] = ()
    if inject:
        kinds = kinds_for(atlas, cell.difficulty)
        content = draw_content(kinds, _permute(cycle, count_content(kinds), *key, "content", leaf, form, setting))
    return PromptTuple(
        *(cell.domain, cell.difficulty, ordinal), topic, subtopic, forms[form], settings[setting], content
    )


def write_prompt(
    atlas: DomainAtlas, tuple_: PromptTuple, *, questions: int, mean_tokens: int, avoid: Sequence[str] = ()
) -> Prompt:
    """The prompt that asks for `questions` questions of about `mean_tokens` tokens each.

    The first lines are `Name: value`, one fact a line. `avoid` are questions that exist; a few, shortened, are shown.
    """
    facts = {
        "Domain": tuple_.domain,
        "Topic": tuple_.topic,
        "Subtopic": tuple_.subtopic,
        "Form": tuple_.form,
        "Setting": tuple_.setting,
        **({"Include": "; ".join(tuple_.content)} if tuple_.content else {}),
        "Difficulty": tuple_.difficulty,
        "Length": f"about {mean_tokens} tokens each",
        "Questions": str(questions),
    }
    words = wording("generate")
    band = _band(mean_tokens)
    parts = [
        "\n".join(f"{name}: {one_line(value, FIELD_CHARACTERS)}" for name, value in facts.items()),
        words.text("user").format(questions=questions),
        words.text(band).format(
            tokens=mean_tokens,
            low=round(mean_tokens * 0.7),
            high=math.ceil(mean_tokens * 1.4),
            words=round(mean_tokens * WORDS_PER_TOKEN),
        ),
    ]
    # What a domain says about rich questions, such as to bring the passage along, holds for medium ones too.
    if advice := atlas.guidance.get("short" if band == "short" else "rich"):
        parts.append(advice)
    shown = [line for text in avoid[:AVOID_ITEMS] if (line := one_line(text, AVOID_CHARACTERS))]
    if shown:
        parts.append("\n".join(["Avoid repeating these:", *(f"- {line}" for line in shown)]))
    return Prompt(
        system=words.text("system"),
        user="\n\n".join(parts),
        schema=SCHEMA,
        schema_name=SCHEMA_NAME,
        max_output_tokens=max_output_tokens(questions, mean_tokens),
        version=words.version if atlas.digest is None else f"{words.version}+atlas-{atlas.digest[:8]}",
    )


def max_output_tokens(questions: int, mean_tokens: int) -> int:
    """The cap on a reply, and so the worst case that the budget holds for the call.

    Twice the mean for models that run long and for JSON escapes, 30 tokens a question so that short ones have slack
    too, and 1,024 for reasoning, which providers count as output.
    """
    return math.ceil(questions * (mean_tokens * 2.0 + 30)) + REASONING_TOKENS


def one_line(text: str, characters: int) -> str:
    """The text on one line and no longer than `characters`: what is injected cannot add lines to a prompt."""
    visible = text[: characters * 4]
    if not visible.isprintable():
        visible = "".join(" " if unicodedata.category(char) in _UNSENDABLE else char for char in visible)
    line = " ".join(visible.split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


_UNSENDABLE = frozenset({"Cc", "Cs"})  # controls and lone surrogates; split() takes care of every kind of line break


def _band(mean_tokens: int) -> str:
    if mean_tokens < SHORT_BELOW_TOKENS:
        return "short"
    return "medium" if mean_tokens < RICH_FROM_TOKENS else "rich"


@lru_cache(maxsize=MOST_DOMAINS)
def _leaves(atlas: DomainAtlas) -> tuple[tuple[str, str], ...]:
    return tuple((topic, subtopic) for topic, subtopics in atlas.topics.items() for subtopic in subtopics)


@lru_cache(maxsize=256)
def _leaf_order(atlas: DomainAtlas, key: tuple[int, str, str], round_: int) -> tuple[int, ...]:
    """One round's order of the leaves, dealt topic by topic: a short job, too, meets as many topics as it has calls."""
    leaves = _leaves(atlas)
    hands: dict[str, list[int]] = {}
    for leaf in _shuffle(range(len(leaves)), *key, "leaves", round_):
        hands.setdefault(leaves[leaf][0], []).append(leaf)
    deals = max(len(hand) for hand in hands.values())
    return tuple(hand[deal] for deal in range(deals) for hand in hands.values() if deal < len(hand))


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest(), "big")


def _shuffle(items: Sequence[int], *key: object) -> list[int]:
    """In the order of `_hash(*key, item)`, whose common beginning is hashed once."""
    begun = hashlib.blake2b("\x1f".join([*map(str, key), ""]).encode(), digest_size=16)

    def place(item: int) -> bytes:
        hashed = begun.copy()
        hashed.update(b"%d" % item)
        return hashed.digest()

    return sorted(items, key=place)


def _permute(index: int, size: int, *key: object) -> int:
    """A keyed permutation of 0 .. size - 1: affine, since it need only be one-to-one and spread out, not secret."""
    step = _hash(*key, "step") % size or 1
    while math.gcd(step, size) != 1:
        step += 1
    return (step * index + _hash(*key, "start")) % size
