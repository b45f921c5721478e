"""The dashboard's files: how they are served, and that they need nothing from elsewhere."""

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from api.assets import DASHBOARD, read_assets
from api.problems import install_problem_handlers
from api.routes import dashboard
from api.safe_headers import SendSafeHeaders

OURS = [path for path in sorted(DASHBOARD.rglob("*")) if path.is_file() and "vendor" not in path.parts]
SCRIPTS = [path for path in OURS if path.suffix == ".js"]
IMPORT = re.compile(r"""^(?:import\b|export \{)[^;"']*["']([^"']+)["'];$""", re.MULTILINE)
# A scheme or "//" before a host; a namespace of SVG is a name, not an address.
FOREIGN = re.compile(r"""(?:https?:|wss?:|["'(]//)(?!//www\.w3\.org/2000/svg)""")
WRITES_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML|\beval\(|new Function"
)


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    app = FastAPI(middleware=[Middleware(SendSafeHeaders)])
    install_problem_handlers(app)
    app.include_router(dashboard.router)
    with TestClient(app) as client:
        yield client


def named(path: Path) -> str:
    return path.relative_to(DASHBOARD).as_posix()


def test_page_runs_nothing_inline_and_nothing_from_elsewhere(http: TestClient) -> None:
    page = http.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page.text)


def test_page_asks_each_time_and_is_sent_only_when_it_changed(http: TestClient) -> None:
    page = http.get("/")
    assert page.headers["cache-control"] == "no-cache"
    again = http.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_every_file_that_the_page_names_is_there_and_is_kept_for_ever(http: TestClient) -> None:
    page = http.get("/").text
    named_by_page = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page)
    assert len(named_by_page) >= 4
    assert "{{" not in page
    for address in named_by_page:
        found = http.get(address)
        assert found.status_code == 200, address
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", sorted(read_assets().files))
def test_file_is_sent_with_its_type_plain_or_compressed(http: TestClient, name: str) -> None:
    address = f"/assets/{read_assets().digest}/{name}"
    packed, plain = http.get(address), http.get(address, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content == (DASHBOARD / name).read_bytes()
    expected = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
    assert plain.headers["content-type"].startswith(expected[PurePosixPath(name).suffix])
    assert plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["app.js", "../../routes/jobs.py", "README.md", "index.html"])
def test_nothing_else_is_served(http: TestClient, path: str) -> None:
    digest = "0" * 16 if path == "app.js" else read_assets().digest
    found = http.get(f"/assets/{digest}/{path.replace('/', '%2F')}")
    assert found.status_code == 404
    assert found.headers["content-type"] == "application/problem+json"


def test_a_changed_file_changes_the_folder_and_the_page(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="{{assets}}/app.js"></script>')
    script = tmp_path / "app.js"
    script.write_text("1;")
    before = read_assets(tmp_path)
    script.write_text("2;")
    after = read_assets(tmp_path)
    assert before.digest != after.digest
    assert before.page.etag != after.page.etag
    assert f"/assets/{after.digest}/app.js".encode() in after.page.plain
    assert gzip.decompress(after.files["app.js"].gzipped) == b"2;"


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_every_import_is_a_file_of_ours(script: Path) -> None:
    for address in IMPORT.findall(script.read_text()):
        assert address.startswith("."), f"{named(script)} imports {address}"
        assert (script.parent / address).resolve().is_relative_to(DASHBOARD)
        assert (script.parent / address).is_file(), f"{named(script)} imports {address}"


def test_every_script_is_loaded_by_the_page() -> None:
    page = (DASHBOARD / "index.html").read_text()
    for script in SCRIPTS:
        assert f"/{named(script)}" in page, f"{named(script)} would be found late: the page does not preload it"


@pytest.mark.parametrize("path", OURS, ids=named)
def test_nothing_names_another_host_or_writes_html(path: Path) -> None:
    text = path.read_text()
    assert not FOREIGN.search(text), f"{named(path)} names another host"
    if path.suffix == ".js":
        assert not WRITES_HTML.search(text), f"{named(path)} writes HTML"


def test_vendored_files_are_as_they_came_and_have_their_licences() -> None:
    vendor = DASHBOARD / "vendor"
    told = (vendor / "README.md").read_text()
    scripts = [path for path in vendor.iterdir() if path.suffix in {".js", ".css"}]
    assert scripts
    for path in scripts:
        row = next(line for line in told.splitlines() if f"`{path.name}`" in line)
        assert hashlib.sha256(path.read_bytes()).hexdigest() in row, f"{path.name} is not the file that was vendored"
        licences = re.findall(r"`(LICENSE-[^`]+)`", row)
        assert licences
        for licence in licences:
            assert len((vendor / licence).read_text()) > 500
