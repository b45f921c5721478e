"""How much of a request is read into memory."""

from collections.abc import AsyncIterator

from starlette.requests import Request

from shared.errors import BadUpload, TooLarge

SPEC_BYTES = 1_000_000
TEXTS_BYTES = 16_000_000
GZIP_MAGIC = b"\x1f\x8b"


async def read_limited(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to exceed the limit, also when it is chunked."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(body)


async def read_upload(request: Request) -> AsyncIterator[bytes]:
    """The body's chunks as they arrive, gzip still packed.

    Raises BadUpload for an encoding we do not unpack, or when it says gzip and is not.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise BadUpload(f"Content-Encoding {encoding!r} is not understood: send plain JSONL or gzip.")
    head = b""
    async for chunk in request.stream():
        if encoding == "gzip" and len(head) < len(GZIP_MAGIC):
            head += chunk
            if not GZIP_MAGIC.startswith(head[: len(GZIP_MAGIC)]):
                raise BadUpload("The request says Content-Encoding: gzip, but its body is not gzip.")
        if chunk:
            yield chunk


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body may have at most {limit_bytes:,} bytes.")
