"""An upload as lines: gzip unpacked as it streams in, bounded in every direction."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

from shared.errors import BadUpload

GZIP_MAGIC = b"\x1f\x8b"
LINE_BYTES = 1_000_000
# Real JSONL packs 5 to 100 times, the most repetitive of it. A bomb packs a thousand times and more.
MOST_RATIO = 250
RATIO_COUNTS_FROM_BYTES = 64_000_000
PIECE_BYTES = 1 << 18


class OverlongLine:
    """Stands for a line of more than LINE_BYTES, whose text was not kept."""


OVERLONG = OverlongLine()
Line = bytes | OverlongLine


async def read_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[Line]]:
    """The upload's lines in groups as they come, without their line ends.

    Gzip is recognised by its first bytes. Raises BadUpload for broken or cut-off gzip and for a bomb.
    """
    lines = LineSplitter()
    async for piece in _unpack(chunks):
        yield await asyncio.to_thread(lines.feed, piece)
    yield lines.finish()


async def _unpack(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= len(GZIP_MAGIC):
            break
    if not head.startswith(GZIP_MAGIC):
        yield head
        async for chunk in chunks:
            yield chunk
        return
    stream = GzipStream()
    pieces = stream.feed(head)
    while True:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece
        if (following := await anext(chunks, None)) is None:
            break
        pieces = stream.feed(following)
    stream.finish()


class GzipStream:
    """Unpacks gzip, also several members in a row, in pieces of bounded size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._packed = 0
        self._unpacked = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to. Raises BadUpload."""
        self._packed += len(data)
        while data:
            if self._member.eof:
                data = data.lstrip(b"\0")  # padding between members and behind the last
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                piece = self._member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise BadUpload(f"the gzip data is broken ({error}); nothing was imported") from error
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self._unpacked += len(piece)
            if self._unpacked > RATIO_COUNTS_FROM_BYTES and self._unpacked > MOST_RATIO * self._packed:
                raise BadUpload(f"the gzip data unpacks to more than {MOST_RATIO} times its size; nothing was imported")
            yield piece

    def finish(self) -> None:
        """Raises BadUpload when the data stops inside a member."""
        if not self._member.eof:
            raise BadUpload("the gzip data breaks off; nothing was imported")


class LineSplitter:
    """Cuts pieces into lines; keeps at most one line of LINE_BYTES in memory."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._overlong = False

    def feed(self, piece: bytes) -> list[Line]:
        """The lines that end in this piece."""
        *ended, rest = piece.split(b"\n")
        lines: list[Line] = []
        if ended:
            lines.append(self._end(ended[0]))
            lines += [line if len(line) <= LINE_BYTES else OVERLONG for line in ended[1:]]
        self._keep(rest)
        return lines

    def finish(self) -> list[Line]:
        """The last line, when the upload does not end with a line end."""
        return [self._end(b"")] if self._rest or self._overlong else []

    def _keep(self, part: bytes) -> None:
        if len(self._rest) + len(part) > LINE_BYTES:
            self._overlong = True
            self._rest.clear()
        elif not self._overlong:
            self._rest += part

    def _end(self, part: bytes) -> Line:
        self._keep(part)
        line: Line = OVERLONG if self._overlong else bytes(self._rest)
        self._rest.clear()
        self._overlong = False
        return line
