"""Answers and parameters that several routes share."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import Path
from pydantic import AfterValidator
from starlette.responses import Response, StreamingResponse

from shared.errors import NotFound
from shared.ids import JobId
from shared.jobs.spec import check_dataset_name


def answer(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON; what JSON lacks (Decimal) is written as a string."""
    return Response(orjson.dumps(data, default=str), status, headers, media_type="application/json")


def read_job_id(job_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})]) -> JobId:
    """The id in a path. Raises NotFound for one that cannot be an id of a job."""
    try:
        return JobId(UUID(job_id))
    except ValueError:
        raise NotFound(f"There is no job {job_id!r}.") from None


async def started(chunks: AsyncIterator[bytes], *, media_type: str, filename: str) -> Response:
    """A streamed file whose first chunk is there already, so that an error can still be a problem."""
    first = await anext(chunks, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingResponse(rest(), media_type=media_type, headers=headers)


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("the character U+0000 is not allowed")
    return value


DatasetName = Annotated[str, Path(description="1 to 64 of a-z, 0-9, '.', '_', '-'"), AfterValidator(check_dataset_name)]
PlainText = Annotated[str, AfterValidator(_no_nul)]
