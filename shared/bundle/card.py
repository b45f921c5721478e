"""README.md of a bundle: a dataset card that people read and that `datasets.load_dataset(folder)` is configured by."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from shared.bundle.fields import SCHEMA
from shared.bundle.names import CARD, SPLITS

# The Hub's classes of how many rows a data set has, each up to so many.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_CHATS = pa.schema([SCHEMA.field("prompt").with_name("messages")])

Manifest = Mapping[str, Any]


def cards_of(manifest: Manifest) -> dict[str, str]:
    """The card of the bundle, and one of each folder of JSON lines, by path."""
    loading = loading_of(manifest)
    parts = {path: _card_of_part(its) for path, its in loading.items() if path != CARD}
    return {CARD: _card(manifest, loading[CARD]), **parts}


def loading_of(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """What each card tells `datasets`, by its path: which files make which split, and their columns."""
    parts = {"jsonl": SCHEMA, **({"openai": _CHATS} if manifest["options"]["openai"] else {})}
    loading = {f"{part}/{CARD}": _configuration(manifest, "{split}.jsonl", its) for part, its in parts.items()}
    return {CARD: _configuration(manifest, "data/{split}.parquet", SCHEMA), **loading}


def _card(manifest: Manifest, loading: Mapping[str, Any]) -> str:
    front = yaml.safe_dump({**_front_matter(manifest), **loading}, sort_keys=False, allow_unicode=True)
    parts = (f"---\n{front}---", _heading(manifest), _tables(manifest), _episodes(manifest), _how_to_load(manifest))
    return "\n\n".join(parts) + "\n"


def _card_of_part(loading: Mapping[str, Any]) -> str:
    """The card of a folder of JSON lines, which is loaded by itself: all that one card configures is of one format."""
    front = yaml.safe_dump(dict(loading), sort_keys=False)
    return f"---\n{front}---\n\nThe rows of ../data as JSON lines; load_dataset of this folder reads them.\n"


def _front_matter(manifest: Manifest) -> dict[str, Any]:
    total = manifest["rows"]["total"]
    return {
        "pretty_name": manifest["dataset"],
        "license": "unknown",
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": [next((name for most, name in _SIZES if total < most), "n>10M")],
        "tags": ["synthetic", "meta-learning", "questmill", *(["rehearsal"] if manifest["rehearsal"] else [])],
    }


def _configuration(manifest: Manifest, path: str, schema: pa.Schema) -> dict[str, Any]:
    """Splits without rows are not named: `datasets` cannot load an empty one."""
    rows = manifest["rows"]
    files = [{"split": split, "path": path.format(split=split)} for split in SPLITS if rows[split]]
    return {
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": _features(schema)},
    }


def _features(schema: pa.Schema) -> list[dict[str, Any]]:
    """The columns as the Hub's YAML has them: without them a file without rows would have none."""
    return [{"name": field.name, **_feature(field.type)} for field in schema]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("struct", inner.get("dtype"))}
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in kind]}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}


def _heading(manifest: Manifest) -> str:
    rows, left_out = manifest["rows"], manifest["left_out"]
    rehearsal = (
        "**Rehearsal: simulated models wrote questions or answers of this data set. It shows the form; do not train on "
        "it.**\n\n"
        if manifest["rehearsal"]
        else ""
    )
    return (
        f"# {manifest['dataset']}\n\n{rehearsal}"
        f"{rows['total']:,} questions with answers, made with Questmill: {rows['train']:,} to train, "
        f"{rows['validation']:,} to validate, {rows['test']:,} to test. A row has `prompt` and `completion` as "
        "messages, and `question` and `answer` as text; a trainer should learn the completion only.\n\n"
        "`manifest.json` says where every row comes from, what it cost and how each file hashes; "
        "`questmill verify` checks all of it again.\n\n"
        f"Left out: {left_out['unanswered']:,} without an answer, {left_out['contaminated']:,} that are like a "
        f"benchmark's, {len(left_out['torn']):,} that repeat rows of several splits. The licence is not known: it is "
        "up to who made it and to the terms of the models. Prompts ask for English; imported questions were not "
        "checked for it."
    )


def _tables(manifest: Manifest) -> str:
    cells = [
        [
            *(cell["domain"], cell["difficulty"], _number(cell["planned"])),
            *(_number(cell["rows"][part]) for part in _PARTS),
            *(_number(cell[what]["total"]) for what in ("prompt_tokens", "completion_tokens")),
        ]
        for cell in manifest["cells"]
    ]
    rows, tokens = manifest["rows"], manifest["tokens"]
    total = ["**all**", "", "", *(_number(rows[each]) for each in _PARTS)]
    cells.append([*total, _number(tokens["prompt"]["total"]), _number(tokens["completion"]["total"])])
    headings = ("domain", "difficulty", "planned", "rows", *SPLITS, "prompt tokens", "completion tokens")
    counted = ", ".join(manifest["tokenizers"])
    return f"## Rows\n\n{_table(headings, cells)}\n\nTokens are counted with {counted}."


_PARTS = ("total", *SPLITS)


def _episodes(manifest: Manifest) -> str:
    options, counted = manifest["options"]["episodes"], manifest["episodes"]
    held_out = manifest["held_out"]
    cells = [
        [split, *(_number(counted[split][each]) for each in ("episodes", "tasks", "unseen_tasks", "too_small_tasks"))]
        for split in SPLITS
    ]
    table = _table(("split", "episodes", "tasks", "of these not in train", "tasks too small"), cells)
    told = [
        f"Held out for {split}: {_listed(held_out[split]['domains'], 'domain')}, "
        f"{_listed(held_out[split]['topics'], 'topic')}."
        for split in SPLITS[1:]
    ]
    warnings = [f"- {each}" for each in manifest["warnings"]]
    return (
        f"## Episodes\n\nA task is {options['tasks']}; an episode has {options['support']} rows of support and "
        f"{options['query']} of query.\n\n{table}\n\n"
        + "\n".join(told)
        + ("\n\n" + "\n".join(warnings) if warnings else "")
    )


def _how_to_load(manifest: Manifest) -> str:
    more = '\nchats = load_dataset("FOLDER/openai")' if manifest["options"]["openai"] else ""
    return (
        "## How to load it\n\n```python\nfrom datasets import load_dataset\n\n"
        'rows = load_dataset("FOLDER")  # load_dataset("FOLDER/jsonl") reads the same rows\n'
        'episodes = load_dataset("json", data_files="FOLDER/episodes.jsonl")["train"]  # of all splits'
        f"{more}\n```"
    )


def _listed(names: Sequence[str], what: str) -> str:
    return f"no {what}" if not names else f"{len(names):,} {what}{'s' * (len(names) > 1)}"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_cell(each) for each in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
