"""Bytes that no HTTP client would send, to the API as its own process: a clean answer or a closed connection."""

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.access.keys import create_key
from shared.access.quotas import Quotas
from shared.access.scopes import Scope
from tests.service.api.serving import serving_process

MEGABYTE = 1_000_000
PATIENCE_SECONDS = 10
# What an answer must not tell a stranger: what we are built of, where it lies.
LEAKS = re.compile(
    rb"(?i)uvicorn|h11|starlette|fastapi|python|psycopg|sqlalchemy|traceback|\.py\b|site-packages|/home/"
)


@dataclass(frozen=True)
class Server:
    """An API that needs keys, and one of them."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    key: str

    @property
    def host(self) -> bytes:
        return urlsplit(self.url).netloc.encode()

    def request(self, line: bytes, *headers: bytes, body: bytes = b"", last: bool = True) -> bytes:
        """A request with a key, as bytes."""
        head = [line, b"Host: " + self.host, b"Authorization: Bearer " + self.key.encode(), *headers]
        return b"\r\n".join([*head, *([b"Connection: close"] if last else []), b"", body])

    def connect(self) -> socket.socket:
        place = urlsplit(self.url)
        return socket.create_connection((place.hostname, place.port), timeout=PATIENCE_SECONDS)

    def tell(self, data: bytes, *, and_nothing_more: bool = False) -> bytes:
        """All that is answered until the server closes the connection."""
        with closing(self.connect()) as opened:
            told = b""
            with suppress(ConnectionError):  # it may be closed before all is sent, or read
                opened.sendall(data)
                if and_nothing_more:
                    opened.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while chunk := opened.recv(65536):
                    told += chunk
            return told

    def resident_megabytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) // 1000


def statuses(told: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", told)]


@pytest.fixture(scope="module")
async def key(engine: AsyncEngine) -> str:
    return await create_key(engine, "wire", Scope.ADMIN, requests_per_minute=None, quotas=Quotas())


@pytest.fixture(scope="module")
def server(
    database_url: str, redis_url: str, providers: None, key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("api") / "log"
    with serving_process(database_url, redis_url, log=log, QUESTMILL_REQUIRE_KEYS="true") as (url, process):
        yield Server(url, process, log, key)
    said = log.read_text()
    assert "Traceback" not in said
    assert "ERROR" not in said


@pytest.fixture(autouse=True)
def alive_afterwards(server: Server) -> Iterator[None]:
    yield
    assert server.process.poll() is None
    assert httpx2.get(f"{server.url}/readyz", timeout=PATIENCE_SECONDS).json()["status"] == "ready"


JOBS, PLAN, CHUNKED = b"GET /v1/jobs HTTP/1.1", b"POST /v1/plans HTTP/1.1", b"Transfer-Encoding: chunked"
EMPTY = b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("expected", "headers", "body"),
    [
        (400, [b"Content-Length: 4", CHUNKED], EMPTY),
        (400, [CHUNKED, b"Content-Length: 4"], EMPTY),
        (400, [CHUNKED, b"Content-Length: 0"], EMPTY),
        (400, [b"Content-Length: 4", b"Content-Length: 5"], b"12345"),
        (400, [b"Content-Length: -1"], b"1"),
        (400, [b"Content-Length: +2"], b"{}"),
        (400, [b"Content-Length: 0x2"], b"{}"),
        (400, [b"Content-Length: " + b"9" * 30], b"{}"),
        (413, [b"Content-Length: 999999999999"], b"{}"),
        (400, [b"Transfer-Encoding: identity"], EMPTY),
        (400, [b"Transfer-Encoding: xchunked"], EMPTY),
        (400, [b"Transfer-Encoding: chunked, gzip"], EMPTY),
        (400, [b"Transfer-Encoding: gzip, chunked"], EMPTY),
        (400, [CHUNKED, b"Transfer-Encoding: identity"], EMPTY),
        (400, [b"Transfer-Encoding : chunked"], EMPTY),
        (400, [CHUNKED], b"zz\r\n{}\r\n0\r\n\r\n"),
        (400, [CHUNKED], b"-2\r\n{}\r\n0\r\n\r\n"),
        (400, [CHUNKED], b"0x2\r\n{}\r\n0\r\n\r\n"),
        (400, [CHUNKED], b"1\r\n{}}}\r\n0\r\n\r\n"),
        (400, [CHUNKED], b"2;" + b"a" * MEGABYTE + b"\r\n{}\r\n0\r\n\r\n"),
        (400, [CHUNKED], b"2\r\n{}\r\n0\r\n" + b"X-Trailer: a\r\n" * 100_000),
        (422, [CHUNKED], b"2\r\n{}\r\n0\r\nHost: evil.example\r\nContent-Length: 7\r\n\r\n"),
        (422, [b"Content-Length: 2", b"Content-Encoding: gzip"], b"{}"),
        (422, [b"Content-Length: 2", b"Expect: 200-maybe"], b"{}"),
    ],
)
def test_a_body_of_unclear_length_ends_the_connection(
    server: Server, expected: int, headers: list[bytes], body: bytes
) -> None:
    behind = b"GET /healthz HTTP/1.1\r\nHost: " + server.host + b"\r\n\r\n"
    told = server.tell(server.request(PLAN, *headers, body=body + behind, last=expected == 422))
    assert statuses(told) == [expected], told
    assert not LEAKS.search(told)


@pytest.mark.parametrize(
    ("expected", "request_line", "headers"),
    [
        (400, JOBS, [b"X-Big: " + b"a" * MEGABYTE]),
        (400, JOBS, [b"X-%06d: a" % number for number in range(100_000)]),
        (400, JOBS, [b"X" * MEGABYTE + b": a"]),
        (400, JOBS, [b"X-A: a\0b"]),
        (400, JOBS, [b"X-\0: a"]),
        (400, JOBS, [b"X-A: a\rX-B: b"]),
        (400, JOBS, [b"NoColon"]),
        (400, JOBS, [b": no name"]),
        (400, JOBS, [b"X A: a"]),
        (200, JOBS, [b"X-A: \xff\xfe"]),
        (400, b"GET /v1/jobs\0 HTTP/1.1", []),
        (400, b"GET /v1/datasets/" + b"a" * MEGABYTE + b" HTTP/1.1", []),
        (400, b"GET /v1/jobs?limit=" + b"1" * MEGABYTE + b" HTTP/1.1", []),
        (400, "GET /v1/jobs/é HTTP/1.1".encode(), []),
        (400, b"GET  HTTP/1.1", []),
        (400, b"GET /v1/jobs", []),
        (400, b"A" * MEGABYTE + b" /v1/jobs HTTP/1.1", []),
        (404, b"GET http://evil.example/v1/jobs HTTP/1.1", []),
        (404, b"GET evil.example:80 HTTP/1.1", []),
        (404, b"CONNECT evil.example:80 HTTP/1.1", []),
        (404, b"OPTIONS * HTTP/1.1", []),
        (404, b"GET //evil.example/v1/jobs HTTP/1.1", []),
        (404, b"GET /v1/../v1/jobs HTTP/1.1", []),
        (404, b"GET /v1/jobs#x HTTP/1.1", []),
        (404, b"GET /v1/jobs/%00 HTTP/1.1", []),
        (404, b"GET /v1/jobs/%zz HTTP/1.1", []),
        (404, b"GET /v1/datasets/a%2fb HTTP/1.1", []),
        (404, b"GET /assets/x/%2e%2e/%2e%2e/api/app.py HTTP/1.1", []),
        (404, b"GET /v1/datasets/x/questions?text=%ff%fe HTTP/1.1", []),
        (422, b"GET /v1/datasets/%ff%fe HTTP/1.1", []),
        (422, b"GET /v1/datasets/..%5c..%5cetc HTTP/1.1", []),
        (422, b"GET /v1/jobs?" + b"&".join(b"a%d" % number for number in range(2_000)) + b" HTTP/1.1", []),
        (405, b"BREW /v1/jobs HTTP/1.1", []),
        (405, b"get /v1/jobs HTTP/1.1", []),
        (405, b"CONNECT /v1/jobs HTTP/1.1", []),
        (400, JOBS, [b"Host: evil.example"]),
        (401, JOBS, [b" folded into the key"]),
    ],
)
def test_an_odd_head_is_refused(server: Server, expected: int, request_line: bytes, headers: list[bytes]) -> None:
    told = server.tell(server.request(request_line, *headers))
    assert statuses(told) == [expected], told[:500]
    if expected != 200:
        assert b"content-type: application/problem+json" in told
    assert not LEAKS.search(told.replace(b"/api/app.py", b""))


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(100)),
        b"\0" * 10_000,
        Random(1).randbytes(2000),
        b"GET /v1/jobs\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\r\nHost: x",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/plans HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff",
    ],
)
def test_what_is_no_request_gets_nothing_or_a_refusal(server: Server, data: bytes) -> None:
    told = server.tell(data, and_nothing_more=True)
    assert set(statuses(told)) <= {400, 403}
    assert not LEAKS.search(told)


@pytest.mark.parametrize("beginning", [b"GET /v1/jobs?limit=", JOBS + b"\r\nX-Endless: "])
def test_a_head_that_never_ends_is_cut_off_and_takes_no_memory(server: Server, beginning: bytes) -> None:
    before = server.resident_megabytes()
    told = server.tell(beginning + b"a" * 50 * MEGABYTE)
    assert statuses(told) in ([400], [])  # the rest of what was sent may reset the connection before it is read
    assert server.resident_megabytes() - before < 20


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
def test_a_body_that_is_none_is_refused_however_far_its_request_has_come(server: Server, method: bytes) -> None:
    head = b"\r\n".join([method + b" /v1/jobs HTTP/1.1", b"Host: " + server.host, CHUNKED, b"", b""])
    with closing(server.connect()) as opened:
        opened.sendall(head)
        told = opened.recv(65536)  # without a key it is refused before its body is read
        opened.sendall(b"zz\r\n")
        with suppress(ConnectionError):
            while chunk := opened.recv(65536):
                told += chunk
    assert statuses(told)[0] in {400, 401, 405}
    # As one piece: the same before an answer has begun.
    assert statuses(server.tell(head + b"zz\r\n", and_nothing_more=True))[0] in {400, 401, 405}


def test_a_key_in_the_trailers_is_none(server: Server) -> None:
    body = b"2\r\n{}\r\n0\r\nAuthorization: Bearer " + server.key.encode() + b"\r\n\r\n"
    told = server.tell(PLAN + b"\r\nHost: " + server.host + b"\r\n" + CHUNKED + b"\r\nConnection: close\r\n\r\n" + body)
    assert statuses(told) == [401]


@pytest.mark.parametrize(("expected", "before", "behind"), [(200, b"", b" \t "), (200, b"  ", b""), (400, b"", b"\0")])
def test_spaces_around_a_key_do_not_matter(server: Server, expected: int, before: bytes, behind: bytes) -> None:
    head = [JOBS, b"Host: " + server.host, b"Authorization: Bearer " + before + server.key.encode() + behind]
    told = server.tell(b"\r\n".join([*head, b"Connection: close", b"", b""]))
    assert statuses(told) == [expected]


def test_requests_in_one_piece_are_answered_in_their_order(server: Server) -> None:
    end = b" HTTP/1.1\r\nHost: " + server.host + b"\r\n\r\n"
    told = server.tell((b"GET /healthz" + end) * 100 + b"GET /v1/jobs" + end + server.request(JOBS))
    assert statuses(told) == [200] * 100 + [401, 200]


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"nonsense"])
def test_an_offer_to_speak_something_else_is_not_taken_up(server: Server, upgrade: bytes) -> None:
    offer = [b"Connection: Upgrade", b"Upgrade: " + upgrade, b"Content-Length: 2"]
    told = server.tell(server.request(PLAN, *offer, body=b"{}", last=False) + server.request(JOBS))
    assert statuses(told) == [422, 200]
    assert b"dataset: required" in told  # the body was read


def test_a_foreign_page_cannot_get_in_by_a_websocket(server: Server) -> None:
    shake = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: eA=="]
    head = [b"GET /v1/jobs HTTP/1.1", b"Host: " + server.host, b"Origin: https://evil.example", *shake]
    told = server.tell(b"\r\n".join([*head, b"", b""]) + server.request(JOBS))
    assert statuses(told) == [403, 200]


def test_made_up_methods_make_no_series_of_their_own(server: Server) -> None:
    for number in range(20):
        server.tell(server.request(b"MADEUP%d /v1/jobs HTTP/1.1" % number))
    told = server.tell(server.request(b"GET /metrics HTTP/1.1"))
    assert statuses(told) == [200]
    assert b'method="other"' in told
    assert b"MADEUP" not in told
