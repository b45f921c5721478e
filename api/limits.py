"""How much of a request is read, how much of that into memory, and how long it may take to come."""

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import Request

from shared.errors import BadUpload, TooLarge, TooSlow

# Everybody may send one, also without a key.
SIGN_IN_BYTES = 4_000
SPEC_BYTES = 1_000_000
TEXTS_BYTES = 16_000_000
# As it is sent, packed or not: ten million rows of a kilobyte.
UPLOAD_BYTES = 10_000_000_000
# A JSON body comes at once. An upload may take its time, but not stop, nor drip: it holds its dataset.
JSON_SECONDS = 60.0
SILENT_SECONDS = 60.0
UPLOAD_SECONDS = 3600.0
GZIP_MAGIC = b"\x1f\x8b"


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """The whole body.

    Raises TooLarge as soon as it is known to exceed the limit, also when it is chunked, and TooSlow.
    """
    body = bytearray()
    async for chunk in _in_time(request, limit_bytes, JSON_SECONDS):
        body += chunk
    return bytes(body)


async def read_upload(request: Request) -> AsyncIterator[bytes]:
    """The body's chunks as they arrive, gzip still packed.

    Raises BadUpload for a form, an encoding we do not unpack, or when it says gzip and is not; TooLarge and TooSlow.
    """
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise BadUpload(
            "The file came in a form (multipart), whose parts are no lines: send it as the body itself, as "
            "curl --data-binary @FILE does."
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise BadUpload(f"Content-Encoding {encoding!r} is not understood: send plain JSONL or gzip.")
    head = b""
    async for chunk in _in_time(request, UPLOAD_BYTES, UPLOAD_SECONDS):
        if encoding == "gzip" and len(head) < len(GZIP_MAGIC):
            head += chunk
            if not GZIP_MAGIC.startswith(head[: len(GZIP_MAGIC)]):
                raise BadUpload("The request says Content-Encoding: gzip, but its body is not gzip.")
        if chunk:
            yield chunk


async def _in_time(request: Request, limit_bytes: int, seconds: float) -> AsyncIterator[bytes]:
    """The body's chunks. Only waiting for the client counts, not what is done with a chunk meanwhile."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    chunks, size, left = request.stream(), 0, seconds
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(SILENT_SECONDS, left)):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise TooSlow(
                f"The body did not come in time: nothing in {SILENT_SECONDS:.0f} s, or not all in {seconds:.0f} s."
            ) from None
        if chunk is None:
            return
        left -= time.monotonic() - began
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        yield chunk


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body may have at most {limit_bytes:,} bytes.")
