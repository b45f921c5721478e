"""Many rows as one parameter of a statement: the driver takes a list to pieces at a microsecond an element."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson


def json_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """For `json_to_recordset(CAST(:rows AS json)) AS row (name type, ...)`.

    UUIDs and enums are written as their text; numbers that are no floats, and bytes, must be given as text.
    """
    return orjson.dumps(rows).decode()


def int_array(numbers: Iterable[int]) -> str:
    """For `CAST(:numbers AS bigint[])`."""
    return f"{{{orjson.dumps(list(numbers))[1:-1].decode()}}}"


def bytes_array(values: Iterable[bytes]) -> str:
    """For `CAST(:values AS bytea[])`."""
    elements = ",".join(rf'"\\x{value.hex()}"' for value in values)
    return f"{{{elements}}}"


def bit_string(number: int, width: int) -> str:
    """For a column of type `bit(width)`, where `width` is a multiple of 4."""
    return f"x{number:0{width // 4}x}"


def bit_array(numbers: Iterable[int], width: int) -> str:
    """For `CAST(:numbers AS bit(width)[])`."""
    return f"{{{','.join(bit_string(number, width) for number in numbers)}}}"
