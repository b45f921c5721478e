"""The shape of a job's notifications."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas import Shape
from shared.database.states import NotificationState


class NotificationShape(Shape):
    """One event that is told to one receiver."""

    id: UUID = Field(description="as in the header Questmill-Event-Id")
    event: str = Field(description="the state that the job came to")
    url: str | None = Field(description="as the job's spec names it; null: the server's own receiver")
    state: NotificationState = Field(description="still to be sent, or how that ended")
    attempts: int = Field(description="how often it was sent")
    detail: str | None = Field(description="what became of the last attempt")
    created_at: datetime = Field(description="when the job came to that state")
    next_at: datetime | None = Field(description="when it is sent next")
    ended_at: datetime | None = Field(description="when it was delivered or given up")


class NotificationsShape(Shape):
    """A job's notifications, newest first."""

    items: list[NotificationShape] = Field(description="the newest hundred")
