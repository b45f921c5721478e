"""Cursor pagination: the cursor is the last id of the page before, opaque to clients and checked when it comes back."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NoReturn
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import FieldError, InvalidInput

MAX_PAGE = 500
INT_BYTES = 8


class PageQuery(BaseModel):
    """Where a page begins and how long it is. Any other parameter is an error that names it."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, max_length=40, description="next_cursor of the page before")
    limit: int = Field(default=100, ge=1, le=MAX_PAGE)

    @property
    def limit_and_one(self) -> int:
        """How many rows to fetch: the one beyond the page tells whether there is a next page."""
        return self.limit + 1

    def after_uuid(self) -> UUID | None:
        """The id that the page follows, of rows with UUIDs. Raises InvalidInput."""
        if self.cursor is None:
            return None
        raw = _decode(self.cursor)
        return UUID(bytes=raw) if len(raw) == 16 else _refuse()

    def after_int(self) -> int | None:
        """The id that the page follows, of rows with numbers. Raises InvalidInput."""
        if self.cursor is None:
            return None
        raw = _decode(self.cursor)
        return int.from_bytes(raw, signed=True) if len(raw) == INT_BYTES else _refuse()

    def page(self, rows: Sequence[dict[str, Any]], *, looked_until: int | None = None) -> dict[str, object]:
        """The answer for up to `limit_and_one` rows; `looked_until` is where a search broke off, if it did."""
        items = rows[: self.limit]
        behind = items[-1]["id"] if len(rows) > self.limit else looked_until
        return {"items": items, "next_cursor": None if behind is None else _encode(behind)}


def _encode(row_id: UUID | int) -> str:
    raw = row_id.bytes if isinstance(row_id, UUID) else row_id.to_bytes(INT_BYTES, signed=True)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        _refuse()


def _refuse() -> NoReturn:
    msg = "use the next_cursor of the page before, unchanged"
    raise InvalidInput(f"cursor: {msg}", [FieldError("cursor", msg)])
