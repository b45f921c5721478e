"""The endpoints by which tests and people read the record and steer the server while it runs."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from local.rehearsal.answerer import LEAST_TOKENS, MOST_TOKENS
from local.rehearsal.faults import FaultPlan, check_shares, parse_faults, to_script
from local.rehearsal.pools import LEAST_LENGTH, MOST_LENGTH
from local.rehearsal.quotas import Quota
from local.rehearsal.record import PAGE
from local.rehearsal.server import Rehearsal

REHEARSAL = web.AppKey("rehearsal", Rehearsal)
Handler = Callable[[web.Request], Awaitable[web.Response]]
Change = TypeVar("Change", bound=BaseModel)


class FaultChange(BaseModel, extra="forbid"):
    """What is left out stays. `shares` is an object, a text such as "429=0.1,cut=0.2" or a preset's name.

    `next` gives the next requests these faults for certain, one each; "ok" lets one pass.
    """

    shares: dict[str, float] | str | None = None
    retry_after_seconds: int | None = Field(default=None, ge=1)
    next: list[str] | None = None


class QuotaChange(BaseModel, extra="forbid"):
    """What is left out stays. Any change fills every bucket again; `headers` false stops the limit headers."""

    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    burst_seconds: float | None = Field(default=None, gt=0)
    headers: bool | None = None


class PoolChange(BaseModel, extra="forbid"):
    """How many questions each model knows, and how long they are against what is asked; what is left out stays."""

    size: int | None = Field(default=None, ge=1)
    content_share: float | None = Field(default=None, ge=0, le=1)
    depth_spread: float | None = Field(default=None, ge=0, le=5)
    length_short: float | None = Field(default=None, ge=LEAST_LENGTH, le=MOST_LENGTH)
    length_long: float | None = Field(default=None, ge=LEAST_LENGTH, le=MOST_LENGTH)


class JudgeChange(BaseModel, extra="forbid"):
    """What the judges refuse; what is left out stays."""

    reject_share: float | None = Field(default=None, ge=0, le=1)
    noise: float | None = Field(default=None, ge=0, le=1)


class AnswerChange(BaseModel, extra="forbid"):
    """How long answers are on average, and the reasoning before them; what is left out stays."""

    tokens_short: float | None = Field(default=None, ge=LEAST_TOKENS, le=MOST_TOKENS)
    tokens_long: float | None = Field(default=None, ge=LEAST_TOKENS, le=MOST_TOKENS)
    reasoning_share: float | None = Field(default=None, ge=0, le=1)
    reasoning_room: int | None = Field(default=None, ge=1)


class LatencyChange(BaseModel, extra="forbid"):
    """The mean latency of the answers to requests from now on."""

    seconds: float = Field(ge=0, le=3600)


def control_routes() -> list[web.RouteDef]:
    """All of them, below `/rehearsal`."""
    return [
        web.get("/rehearsal/record", _show_record),
        web.get("/rehearsal/summary", _show_summary),
        web.get("/rehearsal/faults", _show_faults),
        web.post("/rehearsal/faults", _change_faults),
        web.post("/rehearsal/quotas", _changing(QuotaChange, _change_quotas)),
        web.post("/rehearsal/pools", _changing(PoolChange, _change_pools)),
        web.post("/rehearsal/judges", _changing(JudgeChange, _change_judges)),
        web.post("/rehearsal/answers", _changing(AnswerChange, _change_answers)),
        web.post("/rehearsal/latency", _changing(LatencyChange, _change_latency)),
    ]


async def _show_record(request: web.Request) -> web.Response:
    """`since` (0) and `limit` (1,000); the answer's `next` is the `since` of the next page."""
    try:
        since, limit = int(request.query.get("since", 0)), int(request.query.get("limit", PAGE))
    except ValueError:
        return _answer({"error": "since and limit are whole numbers"}, status=400)
    entries, following = request.app[REHEARSAL].record.page(since, max(limit, 1))
    return _answer({"entries": entries, "next": following})


async def _show_summary(request: web.Request) -> web.Response:
    rehearsal = request.app[REHEARSAL]
    return _answer({"in_flight": rehearsal.in_flight, **rehearsal.record.summary()})


async def _show_faults(request: web.Request) -> web.Response:
    plan = request.app[REHEARSAL].faults
    script = [fault or "ok" for fault in plan.next]
    return _answer({"shares": plan.shares, "retry_after_seconds": plan.retry_after_seconds, "next": script})


async def _change_faults(request: web.Request) -> web.Response:
    rehearsal = request.app[REHEARSAL]
    plan = rehearsal.faults
    try:
        change = FaultChange.model_validate_json(await request.read())
        shares = plan.shares
        if change.shares is not None:
            shares = parse_faults(change.shares) if isinstance(change.shares, str) else check_shares(change.shares)
        script = plan.next if change.next is None else to_script(change.next)
    except ValueError as error:
        return _refuse(error)
    rehearsal.faults = FaultPlan(shares, change.retry_after_seconds or plan.retry_after_seconds, script)
    return await _show_faults(request)


def _change_quotas(rehearsal: Rehearsal, change: QuotaChange) -> object:
    quota = rehearsal.quotas.quota
    quota = Quota(
        change.requests_per_minute or quota.requests_per_minute,
        change.tokens_per_minute or quota.tokens_per_minute,
        change.burst_seconds or quota.burst_seconds,
    )
    rehearsal.quotas.change(quota)
    if change.headers is not None:
        rehearsal.rate_headers = change.headers
    return {**{name: getattr(quota, name) for name in quota.__slots__}, "headers": rehearsal.rate_headers}


def _change_pools(rehearsal: Rehearsal, change: PoolChange) -> object:
    players = rehearsal.players
    players.pools = replace(players.pools, **change.model_dump(exclude_none=True))
    return players.pools


def _change_judges(rehearsal: Rehearsal, change: JudgeChange) -> object:
    players = rehearsal.players
    players.judges = replace(players.judges, **change.model_dump(exclude_none=True))
    return players.judges


def _change_answers(rehearsal: Rehearsal, change: AnswerChange) -> object:
    players = rehearsal.players
    players.answerers = replace(players.answerers, **change.model_dump(exclude_none=True))
    return players.answerers


def _change_latency(rehearsal: Rehearsal, change: LatencyChange) -> object:
    rehearsal.latency_seconds = change.seconds
    return {"seconds": change.seconds}


def _changing(shape: type[Change], change: Callable[[Rehearsal, Change], object]) -> Handler:
    """The handler that reads a body of this shape, makes the change, and answers what stands then."""

    async def handle(request: web.Request) -> web.Response:
        try:
            wanted = shape.model_validate_json(await request.read())
        except ValidationError as error:
            return _refuse(error)
        return _answer(change(request.app[REHEARSAL], wanted))

    return handle


def _answer(content: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS), content_type="application/json"
    )


def _refuse(error: ValueError) -> web.Response:
    if isinstance(error, ValidationError):
        wrong = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        return _answer({"error": "; ".join(wrong)}, status=400)
    return _answer({"error": str(error)}, status=400)
