import re
import unicodedata

import pytest

from shared.planning.mix import fold_name
from shared.questions.atlas import DomainAtlas, atlas_for, load_atlas
from shared.questions.content import NUMBER_KINDS, count_content, draw_content, kinds_for

SEED_DOMAINS = ("coding", "math", "tool use", "reasoning", "reading", "summarization", "common sense", "instruction")
ATLASES = [pytest.param(atlas, id=domain) for domain, atlas in load_atlas().items()]
GENERIC = pytest.param(atlas_for("sailing"), id="generic")


def _fold(text: str) -> str:
    """Case, hyphens, plural endings and word order do not make two names different."""
    words = re.findall(r"[a-z0-9+#]+", unicodedata.normalize("NFKD", text).lower())
    return " ".join(sorted(word.rstrip("s") for word in words))


def _texts(atlas: DomainAtlas) -> list[str]:
    subtopics = [subtopic for subtopics in atlas.topics.values() for subtopic in subtopics]
    forms = [form for forms in atlas.forms.values() for form in forms]
    return [*atlas.topics, *subtopics, *forms, *atlas.settings]


def test_the_seeds_domains_are_known() -> None:
    assert set(load_atlas()) == set(SEED_DOMAINS)
    assert all(atlas_for(domain).known for domain in SEED_DOMAINS)


@pytest.mark.parametrize("atlas", ATLASES)
def test_every_domain_is_large(atlas: DomainAtlas) -> None:
    assert len(atlas.topics) >= 40
    assert all(10 <= len(subtopics) <= 12 for subtopics in atlas.topics.values())
    assert len(atlas.settings) >= 20
    assert all(len(atlas.forms[difficulty]) >= 10 for difficulty in ("easy", "hard"))
    assert atlas.domain == fold_name(atlas.domain)


@pytest.mark.parametrize("atlas", ATLASES)
def test_no_two_names_are_copies(atlas: DomainAtlas) -> None:
    subtopics = [subtopic for subtopics in atlas.topics.values() for subtopic in subtopics]
    for names in (list(atlas.topics), subtopics, list(atlas.settings), *map(list, atlas.forms.values())):
        folded = [_fold(name) for name in names]
        assert sorted(folded) == sorted(set(folded))


@pytest.mark.parametrize("atlas", [*ATLASES, GENERIC])
def test_every_text_is_one_clean_line(atlas: DomainAtlas) -> None:
    for text in _texts(atlas):
        assert isinstance(text, str)
        assert text == " ".join(text.split())
        assert 2 <= len(text) <= 110
        assert not [char for char in text if unicodedata.category(char).startswith("C")]
        assert not re.search(r"\b(topic|subtopic|item|form) \d", text)
        assert ";" not in text


@pytest.mark.parametrize("atlas", [*ATLASES, GENERIC])
@pytest.mark.parametrize("difficulty", ["easy", "hard", "medium"])
def test_content_is_distinct_and_one_line(atlas: DomainAtlas, difficulty: str) -> None:
    kinds = kinds_for(atlas, difficulty)
    assert count_content(kinds) > 10_000
    for kind in kinds:
        step = max(1, kind.size // 2_000)
        texts = [kind.render(index) for index in range(0, kind.size, step)]
        assert len(texts) == len(set(texts))
        assert not [text for text in texts if ";" in text or text != " ".join(text.split())]
    sample = [draw_content(kinds, index) for index in range(1_000)]
    assert len(set(sample)) == len(sample)
    assert all(len(set(content)) == len(content) for content in sample)


@pytest.mark.parametrize("name", NUMBER_KINDS)
def test_number_kinds_render_their_whole_space(name: str) -> None:
    kind = NUMBER_KINDS[name]
    first, last = kind.render(0), kind.render(kind.size - 1)
    assert first != last
    if kind.size < 20_000:
        assert len({kind.render(index) for index in range(kind.size)}) == kind.size


def test_unknown_domain_gets_a_generic_atlas_that_says_so() -> None:
    atlas = atlas_for("underwater basket weaving")
    assert not atlas.known
    assert list(atlas.topics) == ["underwater basket weaving"]
    assert len(atlas.topics["underwater basket weaving"]) >= 20


def test_unnamed_difficulty_may_use_all_forms() -> None:
    atlas = atlas_for("math")
    assert set(atlas.forms_for("medium")) == {*atlas.forms["easy"], *atlas.forms["hard"]}
    assert atlas.include_for("medium") == atlas.include["hard"]
