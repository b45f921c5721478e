import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

from shared.corpus.contamination import MOST_ITEMS_PER_GRAM, Item, Match, asked_keys, index_items, match
from shared.corpus.grams import trace
from shared.database.states import MatchKind

SUM = "What is 12 + 5?"
BAKERY = (
    "A bakery in Lisbon sells 48 loaves of rye bread each morning. On Saturday it sold half as many loaves as on "
    "Friday, when 96 loaves went over the counter before noon. How many loaves were sold on both days together?"
)
CAPITAL = "Which city is the capital of the country that Lake Ohrid borders in the east?"
FOUND = "Find the area of a triangle with a base of 10 units and a height of 5 units."


class Set:
    """A benchmark as admission looks it up, without a database."""

    def __init__(self, items: Sequence[str], name: str = "set") -> None:
        indexed = index_items([(f"#{number}", trace(each)) for number, each in enumerate(items)])
        self.items = [Item(name, each.reference, each.grams, frozenset(each.shingles)) for each in indexed]
        self.by_key = defaultdict(list)
        for item, each in zip(self.items, indexed, strict=True):
            for key in set(each.keys):
                self.by_key[key].append(item)

    def match(self, text: str) -> Match | None:
        its = trace(text)
        hits: dict[Item, Counter[MatchKind]] = defaultdict(Counter)
        for kind, key in asked_keys(its):
            for item in self.by_key.get(key, ()):
                hits[item][kind] += 1
        return match(its, hits)

    def kind(self, text: str) -> MatchKind | None:
        found = self.match(text)
        return None if found is None else found.kind


TESTS = Set([SUM, BAKERY, CAPITAL, FOUND])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SUM, MatchKind.EXACT),
        ("Q: WHAT IS 12 + 5", MatchKind.EXACT),
        ("What is 7 + 3,000?", MatchKind.NUMBERS),
        ("What is twelve + five?", MatchKind.NUMBERS),
        (BAKERY.replace("48", "12").replace("96", "1,004"), MatchKind.NUMBERS),
        (f"You are a tutor at a school. {CAPITAL}", MatchKind.SENTENCE),
        (f"{FOUND.replace('10', '31')} Explain each step.", MatchKind.SENTENCE),
        (f"{BAKERY} Show your work.", MatchKind.GRAMS),
        (BAKERY.replace("Lisbon", "Porto").replace("rye ", ""), MatchKind.GRAMS),
        ("On Saturday it sold half as many loaves as on Friday, when 96 loaves went over the counter", MatchKind.GRAMS),
        ("Which town is the capital of the country that Lake Ohrid borders to the east?", MatchKind.SHORT),
        ("Find the surface of a triangle with base of 10 units and height of 5 units", MatchKind.SHORT),
    ],
)
def test_a_benchmark_question_is_known_again(text: str, kind: MatchKind) -> None:
    assert TESTS.kind(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "What is 12 - 5?",
        "What is 12 * 5?",
        "What is the sum of the first 5 primes?",
        "Which river crosses the capital of Austria?",
        "Find the volume of a cone whose radius and height are known.",
        "On Saturday it sold half as many loaves, which a baker in Rome found odd. Why did the price of flour rise?",
        "5",
        "",
    ],
)
def test_another_question_is_not(text: str) -> None:
    assert TESTS.match(text) is None


def test_the_best_match_is_named_with_its_score() -> None:
    found = Set(["How far is it to the sea?", "How far is it to the sea from here?"]).match("How far is it to the sea?")
    assert found == Match("set", "#0", MatchKind.EXACT, 1.0)
    assert str(found) == "set #0 (exact)"
    near = TESTS.match("Find the area of a square with a base of 10 units and a height of 5 units.")
    assert near is not None
    assert 0.65 <= near.score < 1


def test_the_form_of_a_set_is_no_sign_of_its_items() -> None:
    form = "The following paragraph describes a set of objects arranged in a fixed order, and one statement is true. "
    objects = ["an owl, a crow and a wren sit on a branch", "a van, a bus and a bike stand in a row"]
    objects += [f"a {word} is left of a {word} that is red" for word in ("book", "cup", "hat", "shoe", "pen", "key")]
    assert len(objects) > MOST_ITEMS_PER_GRAM
    tests = Set([form + each for each in objects])
    assert tests.kind(f"{form}There a golfer finished above a swimmer, who came last of all the people in it.") is None
    assert tests.kind(f"{form}There an owl, a crow and a wren sit on a branch of it.") is not None


def test_whatever_numbers_a_question_has_no_other_is_missed() -> None:
    draw = random.Random(4)
    asked = ["What is {} + {}?", "{} times {} is?", "Ann is {}. How old is she in {} years?", "{}", "Sort [{}, {}]"]
    tests = Set([each.format(12, 5) for each in asked])
    for each in asked:
        for _ in range(50):
            numbers = (draw.choice(["{:,}", "{}", "-{}", "{}.5"]).format(draw.randrange(10_000)) for _ in range(2))
            assert tests.kind(each.format(*numbers)) in {MatchKind.NUMBERS, MatchKind.EXACT}, each


def test_a_similar_short_text_is_found_by_its_rarest_shingles_alone() -> None:
    draw = random.Random(9)
    words = [f"{a}{b}" for a in "bdgklmnprst" for b in ("ada", "eno", "ilu", "omi", "ura")]
    texts = [" ".join(draw.choices(words[: draw.choice((8, 55))], k=draw.randint(4, 12))) for _ in range(300)]
    tests = Set(texts)
    shingles = [set(trace(each).shingles) for each in texts]
    for _ in range(300):
        at = draw.randrange(300)
        changed = texts[at].split()
        changed[draw.randrange(len(changed))] = draw.choice(words)
        its = set(trace(" ".join(changed)).shingles)
        similar = any(len(its & each) >= 0.65 * len(its | each) for each in shingles if each)
        assert (tests.match(" ".join(changed)) is not None) >= similar
