"""/v1/session: sign in with a key, see who is signed in, sign out. For browsers; programs send their key each time."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access import OPEN, Guard
from api.answers import answer
from api.json_body import SignInJson, parse_model
from api.openapi import model_body
from api.problems import declared_problems
from api.security import COOKIE, read_cookies
from api.services import Wired
from api.session_shapes import SessionShape, SignInBody
from shared.access.keys import SESSION_AGE, Known, begin_session, end_session

router = APIRouter(prefix="/v1/session", tags=["session"])


@router.get("", dependencies=[OPEN], responses={200: {"model": SessionShape}, **declared_problems(403, 503)})
async def show_session(request: Request) -> Response:
    """Who is asking. Asks nothing of the database when there is neither key nor cookie."""
    guard: Guard = request.app.state.guard
    return answer(_describe(guard, await guard.recognise(request)))


@router.post(
    "",
    dependencies=[OPEN],
    responses={200: {"model": SessionShape}, **declared_problems(403, 408, 413, 422, 503)},
    openapi_extra=model_body(SignInBody),
)
async def sign_in(wired: Wired, request: Request, data: SignInJson) -> Response:
    """Begin a session of seven days; its cookie is for this site's own pages only, and no script can read it."""
    guard: Guard = request.app.state.guard
    body = parse_model(SignInBody, data)
    known = await guard.find(body.key.get_secret_value().strip())
    await guard.count(known)
    token = await begin_session(wired.engine, known.id)
    response = answer(_describe(guard, known))
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_AGE.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=_is_https(request),
    )
    return response


@router.delete("", dependencies=[OPEN], status_code=204, responses=declared_problems(403, 503))
async def sign_out(wired: Wired, request: Request) -> Response:
    """End the session of this browser, also where a neighbour's page has planted a second cookie."""
    for token in read_cookies(request.scope["headers"]):
        await end_session(wired.engine, token)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_https(request))
    return response


def _describe(guard: Guard, known: Known | None) -> dict[str, object]:
    key = {"name": known.name, "scope": known.scope} if known else None
    return {"required": guard.required, "key": key}


def _is_https(request: Request) -> bool:
    """Also behind a proxy that takes TLS off: the page's own Origin says how the browser came."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
