from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.questions.tokens import TOKENIZER, count_tokens


def test_names_its_tokenizer() -> None:
    assert TOKENIZER == "o200k_base"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("hello world", 2),
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 8),  # 9 in cl100k_base
    ],
)
def test_counts_tokens_of_o200k(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@pytest.mark.parametrize("name", ["<|endoftext|>", "<|endofprompt|>", "a<|endoftext|>b"])
def test_names_of_special_tokens_are_ordinary_text(name: str) -> None:
    assert count_tokens(name) > 3


def test_lone_surrogate_counts_as_replacement_character() -> None:
    assert count_tokens("a\ud800b") == count_tokens("a\ufffdb")


@given(st.text(st.characters()))
def test_any_text_has_a_count(text: str) -> None:
    assert 0 <= count_tokens(text) <= 4 * len(text)


def test_threads_count_alike() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(count_tokens, ["What is the sum of three and four?"] * 100)) == {9}
