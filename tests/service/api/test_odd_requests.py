"""What HTTP allows and no client of ours does: other methods, ranges, conditions, encodings."""

import gzip
from collections.abc import Iterator

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.access.keys import create_key
from shared.access.quotas import Quotas
from shared.access.scopes import Scope
from tests.service.api.serving import api_settings, serving
from tests.service.api.test_access import NOWHERE, PATHS
from tests.service.api.test_problems import check_problem

LINE = b'{"question": "What is one plus one?", "domain": "math", "difficulty": "easy"}\n'
METHODS = ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "PROPFIND", "BREW")
OPEN_PATHS = ("/", "/favicon.ico", "/healthz", "/readyz", "/v1/session")


@pytest.fixture(scope="module")
async def key(engine: AsyncEngine) -> str:
    return await create_key(engine, "odd", Scope.ADMIN, requests_per_minute=None, quotas=Quotas())


@pytest.fixture(scope="module")
def api_url(database_url: str, redis_url: str, providers: None) -> Iterator[str]:
    with serving(api_settings(database_url, redis_url, require_keys=True)) as url:
        yield url


@pytest.fixture
def http(api_url: str, key: str) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=api_url, timeout=20, headers=headers, verify=False) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(api_url: str) -> Iterator[httpx2.Client]:
    """Without a key."""
    with httpx2.Client(base_url=api_url, timeout=20, verify=False) as client:
        yield client


@pytest.mark.parametrize("path", sorted({path for _, path, _ in PATHS} | set(OPEN_PATHS)))
def test_a_method_that_no_route_has_is_refused_and_told_nothing(
    http: httpx2.Client, stranger: httpx2.Client, key: str, path: str
) -> None:
    allowed = sorted({method for method, each, _ in PATHS if each == path})
    for method in METHODS:
        for answer in (http.request(method, path.format(**NOWHERE)), stranger.request(method, path)):
            assert answer.status_code == 405
            assert not allowed or answer.headers["allow"] == ", ".join(allowed)
            assert answer.headers["content-type"] == "application/problem+json"
            assert key not in answer.text  # TRACE would send it back
            assert method != "HEAD" or answer.content == b""


@pytest.fixture
def dataset(http: httpx2.Client) -> str:
    http.post("/v1/datasets/ranged/baseline", content=LINE).raise_for_status()
    return "/v1/datasets/ranged"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    "value", ["bytes=0-0", "bytes=5-", "bytes=-1", "bytes=9-1", f"bytes={'0-,' * 2000}0-", "lines=1-2", "nonsense"]
)
def test_an_export_is_whole_whatever_range_is_asked(http: httpx2.Client, dataset: str, form: str, value: str) -> None:
    url = f"{dataset}/export?format={form}"
    answer = http.get(url, headers={"Range": value, "If-Range": '"x"'})
    assert answer.status_code == 200
    assert answer.content == http.get(url).content
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"])
@pytest.mark.parametrize("value", ["*", '"x"', "", "Thu, 01 Jan 1970 00:00:00 GMT", '"' * 5000])
def test_data_is_never_not_modified(http: httpx2.Client, dataset: str, header: str, value: str) -> None:
    for path in (dataset, f"{dataset}/export", "/v1/jobs", "/metrics"):
        assert http.get(path, headers={header: value}).status_code == 200
    page = http.get("/", headers={header: value})
    assert page.status_code == 200
    assert http.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "nonsense", "x" * 9000]
)
@pytest.mark.parametrize("body", [gzip.compress(b'{"dataset": "d"}', mtime=0), b'{"dataset": "d"}', b"\x1f\x8b", b""])
def test_a_packed_body_is_refused_where_none_is_expected(http: httpx2.Client, encoding: str, body: bytes) -> None:
    for path in ("/v1/plans", "/v1/jobs", "/v1/prune", "/v1/session"):
        check_problem(http.post(path, content=body, headers={"Content-Encoding": encoding}), 422)


@pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "nonsense"])
def test_an_upload_in_an_unknown_encoding_is_refused(http: httpx2.Client, encoding: str) -> None:
    answer = http.post("/v1/datasets/packed/baseline", content=LINE, headers={"Content-Encoding": encoding})
    check_problem(answer, 400)
    assert http.get("/v1/datasets/packed").status_code == 404


@pytest.mark.parametrize("accept", ["", "image/png", "*/*;q=0", "nonsense", "a" * 9000])
def test_whatever_is_accepted_the_answer_is_ours(http: httpx2.Client, dataset: str, accept: str) -> None:
    headers = {"Accept": accept, "Accept-Encoding": accept, "Accept-Language": accept, "Content-Type": accept}
    assert http.get(dataset, headers=headers).headers["content-type"] == "application/json"
    check_problem(http.get("/v1/datasets/none", headers=headers), 404)
