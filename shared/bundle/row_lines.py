"""Files of JSON lines whose rows are read one by one at any place, so that only what is asked of them is in memory."""

import json
import mmap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

# Fields before it are texts, whose quotes are escaped: its first occurrence is the field. What Postgres wrote there
# stays as it is, since its numbers may be too large for any JSON library.
_METADATA = b',"metadata":'
_AS_WRITTEN = json.JSONDecoder(parse_int=str, parse_float=str)


class RowLines:
    """The lines of several files, numbered through from 0; a context manager."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._open = ExitStack()
        self._files: list[mmap.mmap | bytes] = [self._map(path) for path in paths]
        ends = [_ends_of(each) for each in self._files]
        self.counts = [len(each) for each in ends]
        self._file = np.repeat(np.arange(len(ends), dtype=np.int16), self.counts)
        none = np.empty(0, dtype=np.int64)
        self._ends = np.concatenate([none, *ends])
        self._starts = np.concatenate([none, *(np.concatenate(([0], each[:-1]))[: len(each)] for each in ends)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.row, range(len(self)))

    def line(self, place: int) -> bytes:
        """The bytes of a line, its end included."""
        content = self._files[self._file[place]]
        return bytes(content[self._starts[place] : self._ends[place]])

    def row(self, place: int) -> dict[str, Any]:
        """The row of a line; its `metadata` is JSON text. Raises ValueError for what is no JSON object."""
        line = self.line(place)
        row = orjson.loads(line) if _METADATA + b"{" not in line else _read_with_metadata(line)
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - of the file's content, as for what is no JSON
        return row

    def _map(self, path: Path) -> mmap.mmap | bytes:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return b""  # nothing can be mapped
            return self._open.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _ends_of(content: mmap.mmap | bytes) -> NDArray[np.int64]:
    ends = []
    at = 0
    while (at := content.find(b"\n", at) + 1) > 0:
        ends.append(at)
    if len(content) > (ends[-1] if ends else 0):
        ends.append(len(content))
    return np.array(ends, dtype=np.int64)


def _read_with_metadata(line: bytes) -> Any:
    start = line.index(_METADATA) + len(_METADATA)
    text = line[start:].decode()
    _, length = _AS_WRITTEN.raw_decode(text)
    row = orjson.loads(line[:start] + b"null" + text[length:].encode())
    row["metadata"] = text[:length]
    return row
