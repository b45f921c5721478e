"""The grammars that questions are written from: templates with slots, one YAML file per domain and a general one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from shared.questions.tokens import count_tokens

FOLDER = Path(__file__).parent / "grammar"
GENERAL = "general"
SECTIONS = ("opening", "background", "data", "constraints", "parts", "closing")
_SLOT = re.compile(r"<(s|t|n:\d+-\d+|[a-z]+)>")
_NUMBER_TOKENS = 2.0  # the space and up to three digits


class Dice:
    """An endless row of choices made by its key alone, so that an item of a pool is always the same text."""

    __slots__ = ("_bits", "_key", "_round")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._round = 0
        self._bits = int.from_bytes(blake2b(key).digest(), "big")

    def below(self, size: int) -> int:
        """A whole number from 0 to size - 1."""
        if self._bits < 1 << 64:
            self._round += 1
            self._bits = int.from_bytes(blake2b(self._key, salt=self._round.to_bytes(16, "big")).digest(), "big")
        self._bits, value = divmod(self._bits, size)
        return value

    def unit(self) -> float:
        """A number in [0, 1)."""
        return self.below(1 << 20) / (1 << 20)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A piece of text and how many tokens it takes after a space."""

    text: str
    tokens: float


def to_phrase(text: str) -> Phrase:
    """The phrase with its tokens counted."""
    return Phrase(text, count_tokens(f" {text}"))


@dataclass(frozen=True, slots=True)
class Words:
    """What a prompt puts into every text."""

    subtopic: Phrase
    topic: Phrase


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence with slots; `tokens` is its expected length without the subtopic and topic, which it uses so often."""

    parts: tuple[str | Sequence[Phrase] | range, ...]
    fixed_tokens: float
    tokens: float
    subtopics: int
    topics: int

    def expected_tokens(self, words: Words) -> float:
        """The mean length of its texts for these words."""
        return self.tokens + self.subtopics * words.subtopic.tokens + self.topics * words.topic.tokens

    def write(self, dice: Dice, words: Words) -> Phrase:
        """One text. A phrase is used once in it, so nobody compares a thing with itself."""
        pieces: list[str] = []
        tokens = self.fixed_tokens
        used: list[Phrase] = []
        for part in self.parts:
            if isinstance(part, str):
                if part == "<s>":
                    pieces.append(words.subtopic.text)
                    tokens += words.subtopic.tokens
                elif part == "<t>":
                    pieces.append(words.topic.text)
                    tokens += words.topic.tokens
                else:
                    pieces.append(part)
            elif isinstance(part, range):
                pieces.append(str(part[dice.below(len(part))]))
                tokens += _NUMBER_TOKENS
            else:
                phrase = part[dice.below(len(part))]
                while phrase in used:
                    phrase = part[dice.below(len(part))]
                used.append(phrase)
                pieces.append(phrase.text)
                tokens += phrase.tokens
        text = "".join(pieces)
        return Phrase(text[:1].upper() + text[1:], tokens)


@dataclass(frozen=True, slots=True)
class Grammar:
    """All templates of one domain; `fitting` are those made for the question form asked for."""

    easy: tuple[Template, ...]
    forms: tuple[tuple[re.Pattern[str], tuple[Template, ...]], ...]
    tails: tuple[Template, ...]
    latex: tuple[Template, ...]
    latex_share: float
    hard: Mapping[str, tuple[Template, ...]]
    fitting: tuple[Template, ...] = ()


@lru_cache(maxsize=4096)
def grammar_for(domain: str, form: str = "") -> Grammar:
    """The grammar of a folded domain name, with the templates made for a question form.

    A domain without a file of its own gets the general one.
    """
    grammar = _compile_grammar(domain)
    fitting = (group for words, group in grammar.forms if words.search(form))
    return replace(grammar, fitting=tuple(chain.from_iterable(fitting)))


@cache
def _compile_grammar(domain: str) -> Grammar:
    general = _read(GENERAL)
    # The file is looked up in the folder's listing, so a domain name never becomes a path.
    name = domain.replace(" ", "_")
    own = _read(name) if name in _domains() else {}
    compile_all = partial(compile_templates, domain)
    return Grammar(
        easy=compile_all([*own.get("easy", ()), *own.get("easy", ()), *general["easy"]]),
        forms=tuple((re.compile(words), compile_all(texts)) for words, texts in general["forms"].items()),
        tails=compile_all(general["tails"]),
        latex=compile_all(own.get("latex", general["latex"])),
        latex_share=float(own.get("latex_share", 0.0)),
        hard={
            section: compile_all([*own.get("hard", {}).get(section, ()), *general["hard"][section]])
            for section in SECTIONS
        },
    )


def compile_templates(domain: str, texts: Sequence[str]) -> tuple[Template, ...]:
    """Sentences with the slots of a folded domain name."""
    slots = slots_of(domain)
    return tuple(_compile(text, slots) for text in texts)


@cache
def slots_of(domain: str) -> Mapping[str, tuple[Phrase, ...]]:
    """What a slot of each name can be filled with: the domain's own phrases before the general ones."""
    name = domain.replace(" ", "_")
    own = _read(name) if name in _domains() else {}
    return {
        slot: tuple(to_phrase(text) for text in texts)
        for slot, texts in (_read(GENERAL)["slots"] | own.get("slots", {})).items()
    }


def warm_up() -> None:
    """Compile every grammar now, so that no request has to wait for it."""
    for name in _domains() | {GENERAL}:
        grammar_for(name.replace("_", " "))


@cache
def _domains() -> frozenset[str]:
    return frozenset(path.stem for path in FOLDER.glob("*.yaml")) - {GENERAL}


@cache
def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def _compile(text: str, slots: Mapping[str, tuple[Phrase, ...]]) -> Template:
    parts: list[str | Sequence[Phrase] | range] = []
    mean = 0.0
    for index, piece in enumerate(_SLOT.split(text)):
        if index % 2 == 0 or piece in {"s", "t"}:
            parts.append(f"<{piece}>" if index % 2 else piece)
        elif piece.startswith("n:"):
            low, high = piece[2:].split("-")
            parts.append(range(int(low), int(high) + 1))
            mean += _NUMBER_TOKENS
        else:
            parts.append(slots[piece])
            mean += fmean(phrase.tokens for phrase in slots[piece])
    literals = [part for part in parts if isinstance(part, str) and part not in {"<s>", "<t>"}]
    # A space before a slot is a part of the slot's first token, so it is not counted here.
    fixed = sum(float(count_tokens(part.rstrip(" "))) for part in literals if part.strip())
    kept = tuple(part for part in parts if part != "")
    return Template(kept, fixed, fixed + mean, parts.count("<s>"), parts.count("<t>"))
