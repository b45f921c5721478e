"""Every error leaves as problem+json (RFC 9457), whoever raised it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from api.safe_headers import SAFE_HEADERS
from shared.database.trouble import Trouble, find_trouble, first_line
from shared.errors import (
    AmbiguousLength,
    BadUpload,
    FieldError,
    InvalidInput,
    OutOfScope,
    QuestmillError,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unauthenticated,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
# Nobody mends more in one go, and each costs time and room to write.
MOST_ERRORS = 100
# RFC 6750. No "Basic": a browser would ask for a password in a window of its own.
CHALLENGE = 'Bearer realm="questmill"'
# What any route that needs a scope can answer.
OF_ACCESS = (401, 429)
# What such an answer always has.
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    429: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "required": True, "description": "in seconds"}},
    503: {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "required": True, "description": "in seconds"}},
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# FAULTS 2 and 16: what happened and what to do.
WHAT_HAPPENED = {
    Trouble.AWAY: "The database cannot be reached. Look whether Postgres runs and DATABASE_URL names it.",
    Trouble.STARTING: "The database is starting or stopping. It is usually back within seconds.",
    Trouble.SILENT: "The database does not answer: it is frozen, overloaded, or cut off. Look at its host.",
    Trouble.CROWDED: "The database takes no more connections. Close some of them, or raise its max_connections.",
    Trouble.READ_ONLY: (
        "The database is read-only: a standby, or set so by a person. Make it writable; jobs then go on by themselves."
    ),
    Trouble.DISK_FULL: "The database's disk is full. Make room on it; jobs then go on by themselves.",
    Trouble.BUSY: "The database is busy: another transaction was in the way for too long.",
}
# A write was refused, so the transaction had no effect. Otherwise the answer may have been lost after its commit.
REFUSED = frozenset({Trouble.READ_ONLY, Trouble.DISK_FULL})
UNCHANGED = "Nothing was changed; repeat the request then."
UNCERTAIN = (
    "Whether this request still took effect is not known: look before you repeat it. "
    "With an Idempotency-Key, repeating is always safe."
)

_log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    """One wrong place in the input."""

    loc: str = Field(examples=["mix.domains.math"], description="a dotted path")
    msg: str = Field(description="what to do about it")


class Problem(BaseModel):
    """An error as RFC 9457 writes it."""

    type: str = Field(examples=["urn:questmill:invalid-input"], description="which of the problems below it is")
    title: str = Field(description="the same in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what happened, what was kept, and what to do")
    errors: list[FieldProblem] = Field(
        default_factory=list, max_length=MOST_ERRORS, description="the wrong places of an input, the first of them"
    )


def problem_response(error: QuestmillError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for an error of ours."""
    body: dict[str, object] = {
        "type": f"urn:questmill:{error.type}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    if error.errors:
        body["errors"] = [{"loc": each.loc, "msg": each.msg} for each in error.errors[:MOST_ERRORS]]
    # Also where no middleware sees the answer: that of an unexpected exception.
    all_headers = {**SAFE_HEADERS, **_headers_of(error), **(headers or {})}
    return Response(orjson.dumps(body), status_code=error.status, media_type=MEDIA_TYPE, headers=all_headers)


def _headers_of(error: QuestmillError) -> dict[str, str]:
    match error:
        case Unavailable():
            return {"Retry-After": str(RETRY_AFTER_SECONDS)}
        case TooManyRequests():
            return {"Retry-After": str(error.retry_after_seconds)}
        case TooSlow() | TooLarge() | AmbiguousLength():
            # The rest of the body is not waited for.
            return {"Connection": "close"}
        case Unauthenticated():
            return {"WWW-Authenticate": CHALLENGE}
        case OutOfScope():
            return {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{error.needed}"'}
    return {}


def declared_problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses` of a route that can answer with these statuses, and those of access."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    listed = sorted({*statuses, *OF_ACCESS})
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content, "headers": HEADERS.get(status, {})}
        for status in listed
    }


IN_OUR_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "required",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number, like 0.5",
}


def plain_message(kind: str, msg: str) -> str:
    """Pydantic's message of this error type, in the words we use everywhere."""
    return IN_OUR_WORDS.get(kind) or msg.removeprefix("Value error, ")


def explain_trouble(trouble: Trouble, method: str) -> Unavailable:
    """What keeps the database from serving a request of this method now, for the person who sent it."""
    advice = UNCHANGED if trouble in REFUSED else UNCERTAIN
    if method in SAFE_METHODS:
        advice = "Try again then."
    return Unavailable(f"{WHAT_HAPPENED[trouble]} {advice}")


def install_problem_handlers(app: FastAPI) -> None:
    """Route every exception of the app to `problem_response`."""
    app.add_exception_handler(QuestmillError, _ours)
    app.add_exception_handler(RequestValidationError, _bad_parameters)
    app.add_exception_handler(HTTPException, _of_the_router)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(PoolTimeout, _of_the_database)
    app.add_exception_handler(DBAPIError, _of_the_database)
    app.add_exception_handler(ConnectionError, _of_the_database)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, QuestmillError)
    return problem_response(error)


async def _bad_parameters(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(loc=_dotted(item["loc"]), msg=plain_message(item["type"], item["msg"])) for item in error.errors()
    ]
    detail = "; ".join(f"{each.loc}: {each.msg}" for each in errors)
    return problem_response(InvalidInput(detail, errors))


async def _of_the_router(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    headers = error.headers
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_allowed_methods(request))}
    problem = QuestmillError(str(error.detail))
    problem.status, problem.title = status.value, status.phrase
    problem.type = status.phrase.lower().replace(" ", "-")
    return problem_response(problem, headers)


def _allowed_methods(request: Request) -> list[str]:
    """All methods of the path; the router tells those of the first of its routes alone."""
    routes = (each.original_route for each in iter_route_contexts(request.app.routes))
    at_path = (each for each in routes if isinstance(each, Route) and each.path_regex.match(request.url.path))
    return sorted({method for each in at_path for method in each.methods or ()})


async def _gone(*_: object) -> Response:
    return problem_response(BadUpload("The request broke off before its end; nothing of it was kept."))


async def _of_the_database(request: Request, error: Exception) -> Response:
    trouble = find_trouble(error)
    if trouble is None:
        # Not ours to retry: let the outermost handler log it and answer 500.
        raise error
    _log.warning(trouble.value, path=request.url.path, error=first_line(error))
    return problem_response(explain_trouble(trouble, request.method))


async def _unexpected(*_: object) -> Response:
    # The traceback goes to the server's log (it re-raises after this answer), never to the client.
    return problem_response(QuestmillError("Something went wrong inside Questmill; the server's log has the details."))


def _dotted(loc: Sequence[int | str]) -> str:
    inside = loc[1:] if loc and loc[0] in ("query", "path", "header", "body") else loc
    return ".".join(str(part) for part in inside)
