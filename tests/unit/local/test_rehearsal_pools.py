import re
from dataclasses import replace
from random import Random

import pytest

from local.rehearsal.ask import Ask, read_ask
from local.rehearsal.pools import Pools, _deviate
from shared.corpus.duplicates import Known, judge
from shared.corpus.fingerprint import fingerprint_many
from shared.planning.mix import Cell
from shared.questions.atlas import atlas_for, load_atlas
from shared.questions.gates.parsed_question import ParsedQuestion
from shared.questions.gates.table import gates_on
from shared.questions.prompts import draw_tuple, topic_at, write_prompt
from shared.questions.quality import find_flaw
from shared.questions.tokens import count_tokens

DOMAINS = sorted(load_atlas())
DIGITS = re.compile(r"\d+")
CAPITALISED = re.compile(r"(?<!^)(?<![.:?] )\b[A-Z]\w+")


def ask_of(domain: str, ordinal: int, *, questions: int = 20, mean_tokens: int = 15, difficulty: str = "easy") -> Ask:
    atlas = atlas_for(domain)
    tuple_ = draw_tuple(atlas, 2025, Cell(domain, difficulty), ordinal)
    ask = read_ask(write_prompt(atlas, tuple_, questions=questions, mean_tokens=mean_tokens).user)
    assert ask is not None
    return ask


def draw_easy(domain: str, calls: int, *, fixed: bool = False) -> list[str]:
    pools, random = Pools(), Random(1)
    return [text for call in range(calls) for text in pools.draw(ask_of(domain, 0 if fixed else call), random)]


def grams(text: str) -> frozenset[str]:
    folded = text.lower()
    return frozenset(folded[start : start + 4] for start in range(len(folded) - 3))


def facts(text: str) -> tuple[list[str], list[str]]:
    return sorted(DIGITS.findall(text)), sorted(CAPITALISED.findall(text))


def test_easy_texts_stay_distinct_with_digits_masked() -> None:
    texts = [text for domain in DOMAINS for text in draw_easy(domain, 25)]
    assert len(texts) == len(DOMAINS) * 500 >= 4000
    assert len({DIGITS.sub("#", text.lower()) for text in texts}) / len(texts) >= 0.8


def draw_from_domain(domain: str, calls: int) -> list[str]:
    """What one fixed prompt brings that names its domain and no topic."""
    ask = read_ask(f"Domain: {domain}\nDifficulty: easy\nLength: about 15 tokens each\nQuestions: 20\n")
    assert ask is not None
    pools, random = Pools(), Random(1)
    return [text for _ in range(calls) for text in pools.draw(ask, random)]


def share_of_new(texts: list[str]) -> float:
    """As admission judges, without the cap on templates."""
    verdicts = judge(texts, fingerprint_many(texts), Known(neighbours=[()] * len(texts)))
    return sum(each.refusal is None for each in verdicts) / len(texts)


@pytest.mark.parametrize("domain", ["math", "reading"])
def test_one_fixed_prompt_runs_dry_as_a_real_set_did(domain: str) -> None:
    texts = draw_from_domain(domain, 385)
    assert share_of_new(texts[:1_000]) == pytest.approx(0.96, abs=0.015)
    assert share_of_new(texts) == pytest.approx(0.84, abs=0.015)


def test_varied_topics_yield_nearly_all_new_over_a_whole_domain() -> None:
    texts = draw_easy("coding", 385)
    assert 0.95 <= len(set(texts)) / len(texts) <= 0.99


def test_one_narrow_prompt_runs_dry_sooner() -> None:
    texts = draw_easy("coding", 385, fixed=True)
    assert len(set(texts)) / len(texts) < 0.7


def test_a_piece_of_content_is_taken_up_by_one_question() -> None:
    ask = replace(ask_of("math", 3), include="the name Bo; the number 17")
    texts = Pools(content_share=1).draw(ask, Random(1))
    assert [
        sum("given the name Bo" in text for text in texts),
        sum("given the number 17" in text for text in texts),
    ] == [
        1,
        1,
    ]
    assert not any("given the" in text for text in Pools(content_share=0).draw(ask, Random(1)))


def test_topics_are_known_to_different_depths() -> None:
    depths = [_deviate("math", topic) for topic in atlas_for("math").topics]
    assert min(depths) < -1
    assert max(depths) > 1
    deep, shallow = (ask_of("math", find_ordinal(depths.index(each(depths)))) for each in (max, min))
    pools = Pools(200, content_share=0, depth_spread=2)
    shares = [
        len({text for seed in range(30) for text in pools.draw(ask, Random(seed))}) / 600 for ask in (deep, shallow)
    ]
    assert shares[0] > 1.5 * shares[1]


def find_ordinal(place: int) -> int:
    """The first prompt about the topic at this place of the atlas of mathematics."""
    atlas = atlas_for("math")
    topic = list(atlas.topics)[place]
    return next(n for n in range(1_000) if topic_at(atlas, 2025, Cell("math", "easy"), n) == topic)


def test_tiny_pool_has_an_end() -> None:
    pools, random = Pools(30, content_share=0), Random(1)
    texts = [text for _ in range(60) for text in pools.draw(ask_of("math", 0), random)]
    assert len(set(texts)) <= 30 * 2 * 4, "of middling depth there would be 60"


@pytest.mark.parametrize("domain", DOMAINS)
def test_items_of_a_pool_are_rarely_near_duplicates(domain: str) -> None:
    texts = list(dict.fromkeys(draw_easy(domain, 15, fixed=True)))
    shingled = [(grams(text), facts(text)) for text in texts]
    near = 0
    for place, (mine, my_facts) in enumerate(shingled):
        for other, other_facts in shingled[:place]:
            shared = len(mine & other)
            near += my_facts == other_facts and shared >= 0.75 * (len(mine) + len(other) - shared)
    assert near / (len(texts) * (len(texts) - 1) / 2) < 0.003


@pytest.mark.parametrize("domain", DOMAINS)
def test_lengths_average_to_what_is_asked(domain: str) -> None:
    easy = [count_tokens(text) for text in draw_easy(domain, 40)]
    assert sum(easy) / len(easy) == pytest.approx(15, rel=0.1)
    assert len(set(easy)) > 8, "the lengths spread"
    hard = [
        count_tokens(text)
        for ordinal in range(30)
        for text in Pools().draw(
            ask_of(domain, ordinal, questions=2, mean_tokens=750, difficulty="hard"), Random(ordinal)
        )
    ]
    assert sum(hard) / len(hard) == pytest.approx(750, rel=0.1)


@pytest.mark.parametrize(("mean_tokens", "questions", "achieved"), [(15, 20, 22), (15, 20, 18), (750, 2, 610)])
def test_a_model_that_writes_longer_or_shorter_than_asked(mean_tokens: int, questions: int, achieved: int) -> None:
    factor = achieved / mean_tokens
    pools = Pools(length_short=factor) if mean_tokens < 45 else Pools(length_long=factor)
    difficulty = "easy" if mean_tokens < 45 else "hard"
    means = []
    for domain in DOMAINS:
        lengths = [
            count_tokens(text)
            for ordinal in range(50)
            for text in pools.draw(
                ask_of(domain, ordinal, questions=questions, mean_tokens=mean_tokens, difficulty=difficulty),
                Random(ordinal),
            )
        ]
        means.append(sum(lengths) / len(lengths))
    assert sum(means) / len(means) == pytest.approx(achieved, rel=0.02)
    assert means == pytest.approx([achieved] * len(DOMAINS), rel=0.04)
    other = Pools(length_short=0.5) if mean_tokens >= 45 else Pools(length_long=0.5)
    ask = ask_of("math", 1, mean_tokens=mean_tokens, difficulty=difficulty)
    assert other.draw(ask, Random(1)) == Pools().draw(ask, Random(1))


@pytest.mark.parametrize("domain", DOMAINS)
def test_gates_refuse_hardly_any_clean_question(domain: str) -> None:
    easy = [(text, 15) for text in draw_easy(domain, 40)]
    hard = [
        (text, 750)
        for ordinal in range(40)
        for text in Pools().draw(
            ask_of(domain, ordinal, questions=2, mean_tokens=750, difficulty="hard"), Random(ordinal)
        )
    ]
    questions = [ParsedQuestion(text, domain, count_tokens(text), mean) for text, mean in easy + hard]
    refused = [(flaw, question.text) for question in questions if (flaw := find_flaw(question, gates_on({})))]
    assert len(refused) / len(questions) <= 0.003, refused


def test_texts_depend_on_the_topic_words_and_not_on_chance() -> None:
    ask = ask_of("reading", 3)
    assert set(Pools(10).draw(ask, Random(1))) & set(Pools(10).draw(ask, Random(2)))
    assert Pools().draw(ask, Random(1)) == Pools().draw(ask, Random(1))
    assert not set(Pools(10).draw(ask, Random(1))) & set(Pools(10).draw(ask_of("reading", 4), Random(1)))


def test_reply_seldom_repeats_itself() -> None:
    texts = Pools().draw(ask_of("instruction", 5), Random(3))
    assert len(set(texts)) >= 19


def test_avoided_questions_are_not_drawn_again_while_others_are_left() -> None:
    pools = Pools(60)
    ask = ask_of("math", 0, questions=5)
    avoid = pools.draw(ask, Random(1))
    atlas = atlas_for("math")
    tuple_ = draw_tuple(atlas, 2025, Cell("math", "easy"), 0)
    again = read_ask(write_prompt(atlas, tuple_, questions=5, mean_tokens=15, avoid=avoid).user)
    assert again is not None
    assert again.avoid
    assert not set(pools.draw(again, Random(1))) & again.avoid


def test_domain_without_a_grammar_gets_plausible_questions_too() -> None:
    ask = read_ask("Domain: maritime law\nTopic: salvage\nSubtopic: towing contracts\nQuestions: 20\n")
    assert ask is not None
    texts = Pools().draw(ask, Random(1))
    assert len(set(texts)) >= 19
    assert any("towing contracts" in text.lower() for text in texts)


def test_domain_name_is_no_path() -> None:
    ask = read_ask("Domain: ../general\nTopic: x\n")
    assert ask is not None
    assert len(Pools().draw(ask, Random(1))) == 5


def test_prompt_without_the_lines_is_not_an_ask() -> None:
    assert read_ask("Is this question answerable?\n\nWhat is 2 + 2?") is None


def test_math_holds_latex() -> None:
    assert any("\\frac" in text for text in draw_easy("math", 10))
