"""Pairs made from the bundled baseline and the rehearsal grammar: a question, and what a known change makes of it.

The lists are this file's own, not those that the guards read: what they miss should show.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random

from bench.question_pairs import Pair
from local.rehearsal.ask import Ask
from local.rehearsal.grammar import Dice, Grammar, Template, Words, grammar_for, to_phrase
from local.rehearsal.writing import LONG_FROM_TOKENS, spread, write_question
from shared.corpus.baseline_row import BadRow, parse_row
from shared.questions.atlas import load_atlas

Change = Callable[[str, Random], str | None]
BASELINE = Path(__file__).parents[1] / "local" / "demo_baseline.jsonl"
DRAWN_SHORT, DRAWN_LONG = 600, 150
SHORT_TOKENS, LONG_TOKENS = 25, 700
MOST_PER_KIND = 200

# One change a line: each word may become the other.
SYNONYMS = """
large big | small little | quick fast | find determine | show demonstrate | explain describe | begin start | end finish
house home | shop store | purchase buy | error mistake | choose pick | create make | list enumerate | correct right
entire whole | often frequently | sentence phrase | method approach | result outcome | value amount | write compose
""".replace("\n", " | ")
SPELLINGS = """
colour color | favourite favorite | neighbour neighbor | centre center | metre meter | litre liter | organise organize
analyse analyze | summarise summarize | travelling traveling | catalogue catalog | grey gray | programme program
behaviour behavior | honour honor | theatre theater | recognise recognize | practise practice | labour labor
""".replace("\n", " | ")
CONTRACTIONS = """
is not:isn't | are not:aren't | do not:don't | does not:doesn't | did not:didn't | cannot:can't | will not:won't
what is:what's | how is:how's | where is:where's | that is:that's | it is:it's | there is:there's | should not:shouldn't
""".replace("\n", " | ")
UNITS = """
kilometres miles | kilometers miles | metres feet | meters feet | centimetres inches | kilograms pounds | kg lb | km mi
grams ounces | litres gallons | liters gallons | dollars euros | cents pence | hours minutes | minutes seconds
days weeks | years months | megabytes gigabytes | milliseconds seconds | degrees radians | tonnes kilograms
""".replace("\n", " | ")
ANTONYMS = """
more fewer | before after | always never | first last | increase decrease | true false | with without | largest smallest
best worst | longest shortest | all none | above below | maximum minimum | highest lowest | open close | same different
early late | left right | hot cold | least most | inside outside | advantages disadvantages | strong weak
""".replace("\n", " | ")
NUMBER_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "thirty")
OPERATORS = "+-*/<>"
NAMES = ("Ingrid", "Okafor", "Lisbon", "Tanaka", "Peru", "Mercury", "Haydn", "Zagreb", "Tolstoy", "Nairobi")
OPENINGS = ("Q: ", "Question: ", "12. ", "Please answer: ", "**Problem:** ", "Answer the following question: ", "- ")
CLOSINGS = ("", "\nAnswer:", "\n\nYour answer:", "  ")

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z\"])")
_CLAUSE = re.compile(r"(If|When|While|After|Before) ([^,.?!]+), ([a-z][^?!]*)([.?!])")
_INNER_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
_OPERATOR = re.compile(r"(?<=[\w)] )[-+*/<>](?= [\w(])")


def make_pairs(seed: int) -> list[Pair]:
    """At most 200 of each kind; the same for the same seed."""
    random = Random(seed)
    texts = [*_baseline(), *draw_questions(random, short=DRAWN_SHORT, long=DRAWN_LONG)]
    pairs = []
    for dup, changes in ((True, SAME), (False, OTHER)):
        for kind, change in changes.items():
            made = [Pair(kind, text, changed, dup) for text in texts if (changed := _changed(change, text, random))]
            pairs += random.sample(made, min(MOST_PER_KIND, len(made)))
    pairs += _same_templates(random)
    pairs += _same_passages(texts, random)
    return pairs


def _changed(change: Change, text: str, random: Random) -> str | None:
    changed = change(text, random)
    return changed if changed != text else None


def _baseline() -> list[str]:
    """Some lines of it are broken on purpose."""
    questions = []
    for line in BASELINE.read_bytes().splitlines():
        with suppress(BadRow):
            questions.append(parse_row(line).question)
    return questions


def draw_questions(random: Random, *, short: int, long: int) -> Iterator[str]:
    """So many short and long questions of the rehearsal grammar."""
    for count, tokens in ((short, SHORT_TOKENS), (long, LONG_TOKENS)):
        for _ in range(count):
            domain, words, dice = _draw_words(random)
            ask = Ask(domain, words.topic.text, words.subtopic.text, "", "", "", tokens, 1, frozenset())
            target = tokens * spread(dice.unit(), long=tokens >= LONG_FROM_TOKENS)
            yield write_question(dice, grammar_for(domain), words, ask, target=target)


def _draw_words(random: Random) -> tuple[str, Words, Dice]:
    domain, atlas = random.choice([*load_atlas().items()])
    topic, subtopics = random.choice([*atlas.topics.items()])
    return domain, Words(to_phrase(random.choice(subtopics)), to_phrase(topic)), Dice(random.randbytes(16))


def _swap(listed: str, *, both_ways: bool = True) -> Change:
    """Replaces one word, or words, of the text by what the list gives for it, in the case that it stands in."""
    by_word: dict[str, str] = {}
    for each in listed.split("|"):
        if each.strip():
            one, _, other = each.strip().partition(":" if ":" in each else " ")
            by_word[one] = other
            if both_ways:
                by_word[other] = one
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, by_word))})\b", re.IGNORECASE)

    def change(text: str, random: Random) -> str | None:
        found = list(pattern.finditer(text))
        if not found:
            return None
        chosen = random.choice(found)
        new = by_word[chosen[0].lower()]
        return text[: chosen.start()] + (new.capitalize() if chosen[0][0].isupper() else new) + text[chosen.end() :]

    return change


def _replace_one(pattern: re.Pattern[str], draw: Callable[[str, Random], str]) -> Change:
    def change(text: str, random: Random) -> str | None:
        found = list(pattern.finditer(text))
        if not found:
            return None
        chosen = random.choice(found)
        return text[: chosen.start()] + draw(chosen[0], random) + text[chosen.end() :]

    return change


def _other_of(choices: Sequence[str]) -> Callable[[str, Random], str]:
    return lambda old, random: random.choice([each for each in choices if each != old.lower()])


def _trivial(text: str, random: Random) -> str:
    kinds: tuple[Callable[[str], str], ...] = (
        str.upper,
        str.lower,
        lambda each: each.rstrip("?.") + random.choice(("", " ?", "??", "...", ".")),
        lambda each: f"  {each.replace(' ', '  ')}\n",
        lambda each: each.replace("'", "\u2019").replace('"', "\u201c"),
    )
    return random.choice(kinds)(text)


def _wrap(text: str, random: Random) -> str:
    return random.choice(OPENINGS) + text + random.choice(CLOSINGS)


def _reorder(text: str, _: Random) -> str | None:
    """Of one paragraph the last sentence first; of a single sentence, its conditional clause last."""
    sentences = _SENTENCE_END.split(text)
    if "\n" in text:
        return None
    if len(sentences) > 1:
        return " ".join([sentences[-1], *sentences[:-1]])
    if clause := _CLAUSE.fullmatch(text):
        conjunction, condition, question, mark = clause.groups()
        return f"{question[0].upper()}{question[1:]} {conjunction.lower()} {condition}{mark}"
    return None


def _misspell(word: str, random: Random) -> str:
    at = random.randrange(1, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _other_number(old: str, random: Random) -> str:
    return str(random.choice([number for number in range(1, 10 ** len(old)) if number != int(old)]))


SAME: dict[str, Change] = {
    "exact": lambda text, _: f"{text} ",
    "trivial": _trivial,
    "wrapper": _wrap,
    "synonym": _swap(SYNONYMS),
    "reorder": _reorder,
    "typo": _replace_one(re.compile(r"\b[a-z]{5,}\b"), _misspell),
    "spelling": _swap(SPELLINGS),
    "contraction": _swap(CONTRACTIONS, both_ways=False),
}
OTHER: dict[str, Change] = {
    "number_changed": _replace_one(re.compile(r"(?<![\w.,])\d{1,4}(?![\w.,]\d|\w)"), _other_number),
    "number_word_changed": _replace_one(re.compile(rf"\b(?:{'|'.join(NUMBER_WORDS)})\b"), _other_of(NUMBER_WORDS)),
    "unit_changed": _swap(UNITS),
    "antonym": _swap(ANTONYMS),
    "entity_changed": _replace_one(_INNER_NAME, lambda _, random: random.choice(NAMES)),
    "operator_changed": _replace_one(_OPERATOR, _other_of(OPERATORS)),
}


def _same_templates(random: Random) -> Iterator[Pair]:
    """A short template of the grammar, filled twice for one topic."""
    made = 0
    while made < MOST_PER_KIND:
        domain, words, dice = _draw_words(random)
        templates = _with_slots(grammar_for(domain))
        template = random.choice(templates)
        one, other = (template.write(dice, words).text for _ in range(2))
        if one != other:
            made += 1
            yield Pair("same_template", one, other, dup=False)


def _with_slots(grammar: Grammar) -> list[Template]:
    return [each for each in grammar.easy if any(not isinstance(part, str) for part in each.parts)]


def _same_passages(texts: Sequence[str], random: Random) -> Iterator[Pair]:
    """A long text of the grammar without its last paragraph, with one short question of the baseline or another."""
    passages = [text.rpartition("\n\n")[0] for text in texts if len(text) > 4 * LONG_TOKENS // 2 and "\n\n" in text]
    questions = [text for text in _baseline() if len(text) < 120 and not re.search(r"\d", text)]
    asked = random.sample([*product(questions, questions)], MOST_PER_KIND)
    for passage, (one, other) in zip(random.choices(passages, k=MOST_PER_KIND), asked, strict=True):
        if one != other:
            yield Pair("same_passage", f"{passage}\n\n{one}", f"{passage}\n\n{other}", dup=False)
