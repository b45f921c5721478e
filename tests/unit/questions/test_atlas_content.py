"""Atlases that users bring: what is taken, what is refused and why, and that they work like those that are there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.planning.mix import Cell
from shared.questions.atlas import load_atlas
from shared.questions.atlas_content import AtlasContent
from shared.questions.content import draw_content, kinds_for
from shared.questions.prompts import distinct_tuples, draw_tuple, topic_at, write_prompt

SAILING = {
    "topics": {"knots": ["bowline", "clove hitch"], "weather": ["fog", "squalls", "sea breeze"]},
    "settings": ["a harbour", "a night watch"],
    "include": {"easy": ["boat", "small number"], "hard": ["boat", "name", "place"]},
    "pools": {"boat": {"say": "the boat {boat}", "boat": ["Ketch", "Yawl", "Dinghy"]}},
}


def content(**changes: Any) -> AtlasContent:
    return AtlasContent.model_validate({**SAILING, **changes})


def test_topics_alone_are_enough() -> None:
    atlas = AtlasContent.model_validate({"topics": {"knots": ["bowline"]}}).to_atlas("sailing")
    assert atlas.known
    assert (len(atlas.settings), len(atlas.forms_for("easy"))) == (22, 12)
    assert distinct_tuples(atlas, "easy") == 22 * 12


def test_a_prompt_is_drawn_from_what_was_brought() -> None:
    atlas = content().to_atlas("sailing")
    drawn = [draw_tuple(atlas, 1, Cell("sailing", "easy"), ordinal) for ordinal in range(40)]
    assert {each.topic for each in drawn} == {"knots", "weather"}
    assert {each.setting for each in drawn} == {"a harbour", "a night watch"}
    assert {each.content[0] for each in drawn} <= {"the boat Ketch", "the boat Yawl", "the boat Dinghy"}
    assert [topic_at(atlas, 1, Cell("sailing", "easy"), n) for n in range(40)] == [each.topic for each in drawn]
    prompt = write_prompt(atlas, drawn[0], questions=5, mean_tokens=15)
    assert prompt.version.endswith(f"+atlas-{content().digest[:8]}")


def test_without_injection_a_prompt_lists_nothing_to_include() -> None:
    atlas = content().to_atlas("sailing")
    bare = draw_tuple(atlas, 1, Cell("sailing", "easy"), 3, inject=False)
    assert bare.content == ()
    assert "Include:" not in write_prompt(atlas, bare, questions=5, mean_tokens=15).user


def test_the_digest_names_the_content_and_survives_storing() -> None:
    stored = AtlasContent.model_validate_json(content().model_dump_json())
    assert stored.digest == content().digest
    assert stored.to_atlas("sailing").topics == content().to_atlas("sailing").topics
    assert content(settings=["a harbour"]).digest != content().digest
    turned = dict(reversed(SAILING["topics"].items()))  # type: ignore[attr-defined]
    assert content(topics=turned).digest != content().digest, "topics are dealt in their order"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"topics": {}}, "topics"),
        ({"topics": {"knots": []}}, "topics.knots"),
        ({"topics": {"knots": ["bowline", "Bowline"]}}, "'bowline' stands there 2 times"),
        ({"topics": {"knots": ["a; b"]}}, "no semicolon"),
        ({"topics": {"knots": ["two\nlines"]}}, "one line"),
        ({"topics": {"knots": [True]}}, "valid string"),
        ({"topics": {"knots": ["x" * 201]}}, "at most 200"),
        ({"tpoics": {}}, "Extra inputs"),
        ({"include": {"easy": ["ship"]}}, "no kind of content 'ship'"),
        ({"guidance": {"long": "x"}}, "guidance.long"),
        ({"pools": {"boat": {"say": "the boat", "boat": ["a"]}}}, "names each field once"),
        ({"pools": {"boat": {"say": "{boat.__class__}", "boat": ["a"]}}}, "braces hold a field's name"),
        ({"pools": {"boat": {"say": "{0}", "0": ["a"]}}}, "braces hold a field's name"),
        ({"pools": {"boat": {"say": "{boat}"}}}, "needs a list"),
        ({"pools": {"boat": {"say": "{boat}", "boat": ["a", "A"]}}}, "stands there 2 times"),
        ({"pools": {"boat": {"say": "{boat}", "boat": ["a"], "crew": ["b"]}}}, "'crew' is no field"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        content(**changes)
    told = str(caught.value)
    assert why in told or why in ".".join(str(part) for each in caught.value.errors() for part in each["loc"])


@pytest.mark.parametrize("domain", sorted(load_atlas()))
def test_the_atlases_that_come_along_would_be_taken(domain: str) -> None:
    own = load_atlas()[domain]
    brought = AtlasContent.model_validate(
        json.loads(
            json.dumps(
                {
                    "topics": {topic: list(leaves) for topic, leaves in own.topics.items()},
                    "forms": {difficulty: list(forms) for difficulty, forms in own.forms.items()},
                    "settings": list(own.settings),
                    "include": {difficulty: list(kinds) for difficulty, kinds in own.include.items()},
                    "guidance": dict(own.guidance),
                    "pools": {name: dict(pool) for name, pool in own.pools.items()},
                }
            )
        )
    ).to_atlas(domain)
    cell = Cell(domain, "hard")
    assert [draw_tuple(brought, 3, cell, n) for n in range(50)] == [draw_tuple(own, 3, cell, n) for n in range(50)]


words = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=";"), min_size=1, max_size=12)


@given(st.dictionaries(words, st.lists(words, min_size=1, max_size=4, unique_by=str.casefold), min_size=1, max_size=6))
def test_any_names_of_one_line_make_an_atlas(topics: dict[str, list[str]]) -> None:
    if len({topic.casefold() for topic in topics}) < len(topics):
        return
    atlas = AtlasContent.model_validate({"topics": topics}).to_atlas("any")
    leaves = sum(map(len, topics.values()))
    cell = Cell("any", "easy")
    drawn = {(each.topic, each.subtopic) for each in (draw_tuple(atlas, 1, cell, n) for n in range(leaves))}
    assert len(drawn) == leaves
    assert draw_content(kinds_for(atlas, "easy"), 5)
