"""Cursor pagination: the cursor is the last id of the page before, opaque to clients and checked when it comes back."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.answers import WholeNumber
from shared.errors import FieldError, InvalidInput

MAX_PAGE = 500
INT_BYTES = 8
UUID_BYTES = 16


def _cursor(size: int) -> Any:
    """The field of a cursor that stands for so many bytes."""
    characters = -(-size * 4 // 3)
    return Field(
        default=None,
        max_length=40,
        description="next_cursor of the page before",
        json_schema_extra={"pattern": f"^[A-Za-z0-9_-]{{{characters}}}$"},
    )


class PageQuery(BaseModel):
    """Where a page begins and how long it is. Any other parameter is an error that names it."""

    model_config = ConfigDict(extra="forbid")

    limit: WholeNumber = Field(default=100, ge=1, le=MAX_PAGE, description="how many to answer at most")

    @property
    def limit_and_one(self) -> int:
        """How many rows to fetch: the one beyond the page tells whether there is a next page."""
        return self.limit + 1

    def page(self, rows: Sequence[dict[str, Any]], *, looked_until: int | None = None) -> dict[str, object]:
        """The answer for up to `limit_and_one` rows; `looked_until` is where a search broke off, if it did."""
        items = rows[: self.limit]
        behind = items[-1]["id"] if len(rows) > self.limit else looked_until
        return {"items": items, "next_cursor": None if behind is None else _encode(behind)}


class IdPage(PageQuery):
    """A page of rows whose ids are UUIDs."""

    cursor: str | None = _cursor(UUID_BYTES)

    def after(self) -> UUID | None:
        """The id that the page follows. Raises InvalidInput."""
        return None if self.cursor is None else UUID(bytes=_decode(self.cursor, UUID_BYTES))


class NumberPage(PageQuery):
    """A page of rows whose ids are numbers."""

    cursor: str | None = _cursor(INT_BYTES)

    def after(self) -> int | None:
        """The id that the page follows. Raises InvalidInput."""
        return None if self.cursor is None else int.from_bytes(_decode(self.cursor, INT_BYTES), signed=True)


def _encode(row_id: UUID | int) -> str:
    raw = row_id.bytes if isinstance(row_id, UUID) else row_id.to_bytes(INT_BYTES, signed=True)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(cursor: str, size: int) -> bytes:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) == size:
        return raw
    msg = "use the next_cursor of the page before, unchanged"
    raise InvalidInput(f"cursor: {msg}", [FieldError("cursor", msg)])
