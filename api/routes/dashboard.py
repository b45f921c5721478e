"""/: the dashboard. A page that asks each time whether it changed, and files that never change under their path."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access import OPEN
from api.assets import Asset, read_assets
from shared.errors import NotFound

router = APIRouter(include_in_schema=False)

FOR_EVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"

_assets = read_assets()


@router.get("/", dependencies=[OPEN])
async def show_dashboard(request: Request) -> Response:
    """The page; it renders without data and then asks the API for it."""
    return _send(_assets.page, request, ASK_FIRST)


@router.get("/favicon.ico", dependencies=[OPEN])
async def show_icon(request: Request) -> Response:
    """Browsers ask for it also where a page names another."""
    return _send(_assets.files["icon.svg"], request, ASK_FIRST)


@router.get("/assets/{digest}/{path:path}", dependencies=[OPEN])
async def show_asset(request: Request, digest: str, path: str) -> Response:
    """A file of this version of the dashboard. Raises NotFound, also for one of another version."""
    asset = _assets.files.get(path) if digest == _assets.digest else None
    if asset is None:
        raise NotFound("The dashboard has no such file; load the page again.")
    return _send(asset, request, FOR_EVER)


def _send(asset: Asset, request: Request, cache: str) -> Response:
    headers = {"Vary": "Accept-Encoding", "ETag": asset.etag, "Cache-Control": cache}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.gzipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.plain, headers=headers, media_type=asset.media_type)
