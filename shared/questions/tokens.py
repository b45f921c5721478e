"""Tokens of a question's stored text, counted offline with one named tokenizer."""

from collections.abc import Callable
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from threading import Lock
from typing import cast

TOKENIZER = "o200k_base"
"""The tokenizer's name, stored beside each count."""

_loading = Lock()


@cache
def _load_counter() -> Callable[[str], int]:
    # Only the package's compiled half, which carries its own tables: its Python half unpacks three vocabularies
    # on import (1 s and 65 MB in every process) and warns on Python 3.11.
    package = find_spec("bpe_openai")
    spec = PathFinder.find_spec("bpe_openai._bindings", package.submodule_search_locations if package else [])
    if spec is None or spec.loader is None:
        raise ImportError("the package bpe-openai is not installed")
    bindings = module_from_spec(spec)
    spec.loader.exec_module(bindings)
    return cast("Callable[[str], int]", bindings.tokenizer_for_encoding(TOKENIZER).count)


def count_tokens(text: str) -> int:
    """The number of o200k_base tokens in `text`; names of special tokens count as the ordinary text they are.

    A lone surrogate counts as U+FFFD. Thread-safe; the first call loads the table (about 0.2 s and 70 MB).
    """
    with _loading:
        count = _load_counter()
    try:
        return count(text)
    except UnicodeEncodeError:
        return count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
