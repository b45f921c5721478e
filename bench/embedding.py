"""The optional embedding model: static word vectors whose weights lie in a package, `requirements/embeddings.in`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def load_embedder() -> Embed | None:
    """Texts to rows of 256 numbers of length 1, so that a product of two is their cosine; None if not installed.

    Nothing is downloaded: without being told where it lies, the package would fetch its own tokenizer a second time.
    """
    try:
        import wordllama
    except ImportError:
        return None
    folder = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(model.embed(list(texts), norm=True), dtype=np.float32)

    return embed
