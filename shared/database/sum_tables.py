"""The sums that triggers keep of questions, batches and calls. Promise 8."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.types import TypeEngine

from shared.database.table_parts import metadata


def _counts(name: str, keys: Mapping[str, type[TypeEngine[Any]]], sums: Sequence[str]) -> tuple[Table, Table]:
    """Promise 8. NAME_change gets a row from triggers on NAME for each statement that changes what counts; nobody waits
    for it. Folded now and then into NAME_tally; the view NAME_count adds both up. All in migration 0004.
    """
    changes = Table(
        f"{name}_change",
        metadata,
        *(Column(key, kind, nullable=False) for key, kind in keys.items()),
        *(Column(each, BigInteger, nullable=False) for each in sums),
    )
    tally = Table(
        f"{name}_tally",
        metadata,
        *(Column(key, kind, primary_key=True, autoincrement=False) for key, kind in keys.items()),
        *(Column(each, BigInteger, nullable=False) for each in sums),
    )
    return changes, tally


_cell = {"domain": Text, "difficulty": Text}
question_change, question_tally = _counts(
    "question",
    {"dataset_id": Integer, **_cell, "state": Text},
    ["questions", "prompt_tokens", "completion_tokens", "validated", "answered"],
)
# `what` is batches (named by their state), generated, admitted, rejected (by reason) or repaired (by kind); of ended
# batches only, open ones are few and counted from their rows.
batch_change, batch_tally = _counts(
    "batch", {"job_id": Uuid, "stage": Text, **_cell, "what": Text, "name": Text}, ["n"]
)
# Of settled calls only, those under way are few and counted from their rows.
call_change, call_tally = _counts(
    "call",
    {
        "job_id": Uuid,
        "stage": Text,
        "difficulty": Text,
        "state": Text,
        "outcome": Text,
        "again": Boolean,
        "model": Text,
    },
    ["calls", "input_tokens", "output_tokens", "pico_usd"],  # a millionth of a millionth of a dollar: whole numbers
)
