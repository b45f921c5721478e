"""A row of a bundle: its fields in their order, as Parquet declares them, and how an exported row becomes one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from shared.bundle.names import NO_TOPIC
from shared.planning.mix import fold_name
from shared.questions.judging import CRITERIA

Row = dict[str, Any]

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("prompt", _MESSAGES, nullable=False),
        pa.field("completion", _MESSAGES, nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("difficulty", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("cluster", pa.int64(), nullable=False),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("completion_tokens", pa.int32(), nullable=False),
        pa.field("tokenizer", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("answer_model", pa.string()),
        pa.field("call_id", pa.string()),
        pa.field("rehearsal", pa.bool_(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("verdict", pa.string()),
        pa.field("scores", pa.struct([(name, pa.float64()) for name in CRITERIA])),
        pa.field("prompt_version", pa.string()),
        pa.field("metadata", pa.string()),
    ]
)


def topic_of(tags: list[str]) -> str:
    """The first tag, folded as tags are; "other" where there is none."""
    return (fold_name(tags[0]) if tags else "") or NO_TOPIC


def messages_of(question: str, answer: str) -> tuple[list[Row], list[Row]]:
    """The prompt and the completion: a trainer that is given both learns the completion only."""
    return [{"role": "user", "content": question}], [{"role": "assistant", "content": answer}]


def bundle_row(exported: Mapping[str, Any], cluster: int) -> Row:
    """An exported row that has an answer, as a row of a bundle."""
    prompt, completion = messages_of(exported["question"], exported["answer"])
    scores = exported["scores"]
    made = {
        "prompt": prompt,
        "completion": completion,
        "topic": topic_of(exported["tags"]),
        "cluster": cluster,
        "scores": scores and {name: float(scores[name]) for name in CRITERIA},
        "created_at": datetime.fromisoformat(exported["created_at"]),
    }
    return {name: made[name] if name in made else exported[name] for name in SCHEMA.names}
