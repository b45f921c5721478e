"""Who asks, and whether they may: every route says which scope it needs, `dependencies=[READ]`."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from api.request_rate import RequestRate
from api.security import read_bearer, read_cookie
from shared.access.key_text import KEY, TOKEN
from shared.access.keys import Known, find_key, find_session, note_use
from shared.access.scopes import Scope
from shared.database.patience import patience
from shared.database.trouble import find_trouble
from shared.errors import OutOfScope, TooManyRequests, Unauthenticated
from shared.ids import KeyId

PATIENCE_SECONDS = 5.0
# How long an open stream may outlive its key.
LOOK_AGAIN_SECONDS = 60.0
SIGN_IN = (
    "Send a key, as `Authorization: Bearer qm_...`, or sign in on the dashboard; the command line takes it from "
    "QUESTMILL_API_KEY."
)
NO_SUCH_KEY = "This key is not known here, or it is revoked. Ask whoever runs this Questmill for another."


class Guard:
    """Tells who sent a request; `required`: nobody may without a key. One per app."""

    def __init__(self, engine: AsyncEngine, redis: Redis, *, required: bool) -> None:
        self.required = required
        self.look_again_seconds = LOOK_AGAIN_SECONDS
        self._engine = engine
        self._rate = RequestRate(redis)
        self._notes: dict[KeyId, asyncio.Task[None]] = {}

    async def identify(self, request: Request) -> Known | None:
        """The key behind a request; None for somebody who needs none.

        Raises Unauthenticated, or TooManyRequests when the key's minute is used up.
        """
        known = await self.recognise(request)
        if known is None:
            if self.required:
                raise Unauthenticated(SIGN_IN)
            return None
        self._note_use(known)
        await self.count(known)
        return known

    async def count(self, known: Known) -> None:
        """A request of this key. Raises TooManyRequests when its minute is used up."""
        if known.requests_per_minute is None:
            return
        most = known.requests_per_minute
        if wait := await self._rate.seconds_to_wait(known.id, most):
            raise TooManyRequests(
                f"The key {known.name} may make {most:,} requests a minute; try again in {wait} s.", wait
            )

    async def recognise(self, request: Request) -> Known | None:
        """The key that the request brings or whose session it belongs to, if any.

        A key that is wrong raises Unauthenticated, also where none is required: who sends one means it to count.
        """
        headers = request.scope["headers"]
        with patience(PATIENCE_SECONDS):
            if (key := read_bearer(headers)) is not None:
                return await self.find(key)
            token = read_cookie(headers)
            return await find_session(self._engine, token) if token and TOKEN.fullmatch(token) else None

    async def find(self, key: str) -> Known:
        """The key with this text. Raises Unauthenticated."""
        known = await find_key(self._engine, key) if KEY.fullmatch(key) else None
        if known is None:
            raise Unauthenticated(NO_SUCH_KEY)
        return known

    async def while_admitted(self, request: Request, events: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
        """The events, until the key or session that asked for them is over; looked at once a minute."""
        known: Known | None = request.state.known
        looked_at = time.monotonic()
        async with aclosing(events):
            async for event in events:
                if known is not None and time.monotonic() - looked_at >= self.look_again_seconds:
                    looked_at = time.monotonic()
                    if await self._has_left(request):
                        return
                yield event

    async def _has_left(self, request: Request) -> bool:
        try:
            return await self.recognise(request) is None
        except Unauthenticated:
            return True
        except Exception as error:
            # Not known while the database is away; the stream is told of that by its own reader.
            if find_trouble(error) is None:
                raise
            return False

    async def close(self) -> None:
        """Wait for what is still being written."""
        await asyncio.gather(*self._notes.values(), return_exceptions=True)

    def _note_use(self, known: Known) -> None:
        """Beside the request, which does not wait for it."""
        if known.use_is_news and known.id not in self._notes:
            task = self._notes[known.id] = asyncio.create_task(self._write_use(known.id))
            task.add_done_callback(lambda _: self._notes.pop(known.id, None))

    async def _write_use(self, key_id: KeyId) -> None:
        try:
            with patience(PATIENCE_SECONDS):
                await note_use(self._engine, key_id)
        except Exception as error:
            # The next request writes it; a database that is read-only or away has told its own story.
            if find_trouble(error) is None:
                raise


@dataclass(frozen=True, slots=True)
class Needs:
    """A dependency: lets those pass whose key covers the scope; with None everybody, unasked.

    `or_nobody_can_tell`: also those whose key cannot be looked up now, marked `request.state.unrecognised`. The route
    tells them no more than everybody.
    """

    scope: Scope | None
    or_nobody_can_tell: bool = False

    async def __call__(self, request: Request) -> None:
        """Raises Unauthenticated, OutOfScope or TooManyRequests."""
        if self.scope is None:
            return
        guard: Guard = request.app.state.guard
        request.state.unrecognised = False
        try:
            known = await guard.identify(request)
        except Exception as error:
            if not self.or_nobody_can_tell or find_trouble(error) is None:
                raise
            request.state.unrecognised = True
            return
        if known is not None and not known.scope.covers(self.scope):
            raise OutOfScope(
                f"This needs a key of the scope {self.scope}; {known.name} is of the scope {known.scope}.", self.scope
            )
        request.state.known = known


READ = Depends(Needs(Scope.READ))
READ_OR_NOBODY_CAN_TELL = Depends(Needs(Scope.READ, or_nobody_can_tell=True))
SUBMIT = Depends(Needs(Scope.SUBMIT))
ADMIN = Depends(Needs(Scope.ADMIN))
# Told to everybody: whether we live, the dashboard's files, who is signed in.
OPEN = Depends(Needs(None))


def scope_of(route: APIRoute) -> Scope | None:
    """The scope that a route needs, None for one that is open to all. Raises LookupError for one that says neither."""
    for dependency in route.dependencies:
        if isinstance(dependency.dependency, Needs):
            return dependency.dependency.scope
    raise LookupError(f"{route.path} does not say who may use it: dependencies=[READ], say")


def _key_of(request: Request) -> KeyId | None:
    known: Known | None = request.state.known
    return known.id if known else None


# The key that a route's request came with; None without one.
AskedBy = Annotated[KeyId | None, Depends(_key_of)]
