"""What the parts of a bundle are called."""

from pathlib import PurePosixPath

FORMAT = "questmill bundle"
VERSION = 1

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
# The topic of a question that has no tag.
NO_TOPIC = "other"

MANIFEST = "manifest.json"
EPISODES = "episodes.jsonl"
CROISSANT = "croissant.json"
CARD = "README.md"


class BadBundle(Exception):
    """A folder is no bundle, or not as it was made; the text is one sentence for a person."""


def parquet_path(split: str) -> str:
    """Where a split's rows are."""
    return f"data/{split}.parquet"


def jsonl_path(split: str) -> str:
    """Where the same rows are as JSON lines."""
    return f"jsonl/{split}.jsonl"


def openai_path(split: str) -> str:
    """Where the same rows are as chats, if they are."""
    return f"openai/{split}.jsonl"


def files_of(*, openai: bool) -> list[str]:
    """The path of every file of a bundle, in order."""
    parts = ["jsonl", *(["openai"] if openai else [])]
    rows = [path_of(split) for path_of in (parquet_path, jsonl_path, openai_path) for split in SPLITS]
    return sorted(
        [MANIFEST, EPISODES, CROISSANT, CARD, *(f"{part}/{CARD}" for part in parts)]
        + [path for path in rows if openai or PurePosixPath(path).parent.name != "openai"]
    )
