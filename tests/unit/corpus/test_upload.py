import gzip
import random
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.corpus.upload import LINE_BYTES, OVERLONG, GzipStream, Line, LineSplitter, read_lines
from shared.errors import BadUpload

FILE = b'{"question": "a"}\r\n\n{"question": "b"}\nlast'


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def lines_of(*chunks: bytes) -> list[Line]:
    return [line async for lines in read_lines(chunks_of(*chunks)) for line in lines]


def split_at(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def unpack(*chunks: bytes) -> bytes:
    stream = GzipStream()
    unpacked = b"".join(piece for chunk in chunks for piece in stream.feed(chunk))
    stream.finish()
    return unpacked


@given(st.lists(st.sampled_from([b"", b"a", b"question", b"\r", b"\xc3\xa9"])), st.lists(st.integers(0, 10_000)))
def test_lines_do_not_hang_on_how_the_bytes_arrive(parts: list[bytes], places: list[int]) -> None:
    data = b"\n".join(parts)
    splitter = LineSplitter()
    lines = [line for piece in split_at(data, places) for line in splitter.feed(piece)] + splitter.finish()
    assert lines == (parts[:-1] if parts and parts[-1] == b"" else parts)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.lists(st.integers(0, 10_000)))
def test_gzip_members_unpack_the_same_however_they_arrive(members: list[bytes], places: list[int]) -> None:
    packed = b"".join(gzip.compress(member) for member in members)
    assert unpack(*split_at(packed, places)) == b"".join(members)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 10**7), max_size=20))
def test_gzip_that_unpacks_to_many_pieces_loses_nothing(seed: int, places: list[int]) -> None:
    noise = random.Random(seed).randbytes(1_000)
    data = b"".join(noise[:length] for length in range(1_000)) + b"\0" * 700_000
    assert unpack(*split_at(gzip.compress(data, 1), places)) == data


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_plain_and_packed_uploads_have_the_same_lines(pack: type[bytes], size: int) -> None:
    data = pack(FILE)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert await lines_of(b"", *chunks) == [b'{"question": "a"}\r', b"", b'{"question": "b"}', b"last"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
async def test_an_overlong_line_costs_only_itself(pack: type[bytes]) -> None:
    data = pack(b"before\n" + b"x" * (LINE_BYTES + 1) + b"\n" + b"y" * LINE_BYTES + b"\nafter\n" + b"z" * 5_000_000)
    expected = [b"before", OVERLONG, b"y" * LINE_BYTES, b"after", OVERLONG]
    assert await lines_of(data) == expected
    assert await lines_of(*split_at(data, range(0, len(data), 65_536))) == expected


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\n"])
async def test_next_to_nothing_is_not_gzip(data: bytes) -> None:
    assert await lines_of(data) == ([data.strip(b"\n")] if data else [])


@pytest.mark.parametrize("cut", [1, 8, 12, 20])
async def test_cut_off_gzip_is_a_bad_upload(cut: int) -> None:
    with pytest.raises(BadUpload, match="breaks off"):
        await lines_of(gzip.compress(FILE)[:-cut])


async def test_garbage_is_a_bad_upload() -> None:
    packed = gzip.compress(FILE)
    flipped = packed[:20] + bytes([packed[20] ^ 255]) + packed[21:]
    for data in (packed + b"garbage", flipped, packed[:-5] + b"12345", packed + packed[:5]):
        with pytest.raises(BadUpload):
            await lines_of(data)


async def test_empty_members_and_padding_between_them_are_fine() -> None:
    empty, full = gzip.compress(b""), gzip.compress(b"a\n")
    assert await lines_of(empty + full + b"\0" * 100 + empty + full + b"\0" * 7) == [b"a", b"a"]


async def test_a_bomb_is_refused_while_it_unpacks() -> None:
    megabyte = gzip.compress(b"\0" * 20_000_000)
    fed = 0

    async def bomb() -> AsyncIterator[bytes]:
        nonlocal fed
        for fed in range(1, 1_000):  # noqa: B007 - read below
            yield megabyte

    with pytest.raises(BadUpload, match="250 times"):
        [lines async for lines in read_lines(bomb())]
    assert fed <= 4
