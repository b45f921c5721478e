"""The dashboard's files, read once: each under a path that holds the sum of them all, so that browsers may keep it."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DASHBOARD = Path(__file__).parent / "dashboard"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
DIGEST_LENGTH = 16
# Stands in index.html for the folder of the assets.
FOLDER_MARK = b"{{assets}}"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent, plain and compressed."""

    media_type: str
    plain: bytes
    gzipped: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Assets:
    """The page, and what it loads by path."""

    digest: str
    page: Asset
    files: Mapping[str, Asset]


def read_assets(folder: Path = DASHBOARD) -> Assets:
    """All files that a browser may ask for; those of other types (READMEs) are not served."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES)
    files = {path.relative_to(folder).as_posix(): _asset(path.read_bytes(), MEDIA_TYPES[path.suffix]) for path in paths}
    whole = hashlib.sha256()
    for name, asset in files.items():
        whole.update(f"{name}\0{asset.etag}\0".encode())
    digest = whole.hexdigest()[:DIGEST_LENGTH]
    page = (folder / "index.html").read_bytes().replace(FOLDER_MARK, f"/assets/{digest}".encode())
    return Assets(digest, _asset(page, "text/html; charset=utf-8"), files)


def _asset(plain: bytes, media_type: str) -> Asset:
    etag = f'"{hashlib.sha256(plain).hexdigest()[:DIGEST_LENGTH]}"'
    return Asset(media_type, plain, gzip.compress(plain, mtime=0), etag)
