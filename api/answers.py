"""Answers and parameters that several routes share."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Annotated
from uuid import UUID

import anyio
import orjson
import structlog
from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue
from pydantic_core import PydanticKnownError
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.spec_fields import DATASET_NAME_SHAPE, check_dataset_name

_log = structlog.get_logger(__name__)

CLOSE_SECONDS = 10
# A reader may pause for so long, and shared.corpus.export_rows asks the database to wait for it. Then others get the
# connection.
SEND_SECONDS = 900.0


def answer(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON; what JSON lacks (Decimal) is written as a string."""
    return Response(orjson.dumps(data, default=str), status, headers, media_type="application/json")


def read_job_id(
    job_id: Annotated[str, Path(json_schema_extra={"format": "uuid"}, description="the job's id")],
) -> JobId:
    """The id in a path. Raises NotFound for one that cannot be an id of a job."""
    try:
        return JobId(UUID(job_id))
    except ValueError:
        raise NotFound(f"There is no job {job_id!r}.") from None


async def started(chunks: AsyncIterator[bytes], *, media_type: str, filename: str) -> Response:
    """A streamed file whose first chunk is there already, so that an error can still be a problem."""
    first: bytes | None = await anext(chunks, b"")

    async def rest() -> AsyncIterator[bytes]:
        chunk = first
        while chunk is not None:
            yield chunk
            # A statement that is cancelled midway costs its connection; a client that left waits for nothing.
            with anyio.CancelScope(shield=True):
                chunk = await anext(chunks, None)

    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return _ClosingStream(rest(), chunks, media_type=media_type, headers=headers)


class _ClosingStream(StreamingResponse):
    """Closes its source when the answer ends in any way; a client may be gone before the first chunk is sent.

    Else a generator left in the middle would keep its transaction until it is garbage.
    """

    def __init__(
        self, content: AsyncIterator[bytes], source: AsyncIterator[bytes], *, media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stands_still = False

        async def send_in_time(message: Message) -> None:
            nonlocal stands_still
            with anyio.move_on_after(SEND_SECONDS) as limit:
                await send(message)
            if stands_still := limit.cancelled_caught:
                raise ClientDisconnect

        try:
            await super().__call__(scope, receive, send_in_time)
        except ClientDisconnect:
            if not stands_still:
                raise
            _log.warning("a reader stands still, and was given up", path=scope["path"])
        finally:
            # Of a client that went away the scope around this may be cancelled: every await would end at once.
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                if isinstance(self._source, AsyncGenerator):
                    await self._source.aclose()


NO_NUL: dict[str, JsonValue] = {"pattern": r"^[^\u0000]*$"}


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("the character U+0000 is not allowed")
    return value


DatasetName = Annotated[
    str,
    Path(description="the dataset's name: 1 to 64 of a-z, 0-9, '.', '_', '-'", json_schema_extra=DATASET_NAME_SHAPE),
    AfterValidator(check_dataset_name),
]
PlainText = Annotated[str, AfterValidator(_no_nul), Field(json_schema_extra=NO_NUL)]
# In a query or a path. What else Python takes for one (" 5", "1_0", digits of other scripts), the document does not.
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+(\.0+)?", re.ASCII)


def _as_documented(value: object) -> object:
    if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value) is None:
        raise PydanticKnownError("int_parsing")
    return value


WholeNumber = Annotated[int, BeforeValidator(_as_documented)]
# Their bounds stand within: those of a parameter or of something that may be null would be lost to the document.
SeedNumber = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_as_documented)]
PathQuestionId = Annotated[
    int, Field(ge=1, lt=2**63), BeforeValidator(_as_documented), Path(description="the question's id")
]
