"""Bodies that are too large or do not come: refused while they are sent, and nothing of them is kept."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import httpx2
import pytest

from api import limits

HEAD = "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n{size}\r\n\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(limits, "JSON_SECONDS", 0.5)
    monkeypatch.setattr(limits, "UPLOAD_SECONDS", 1.0)


@contextmanager
def connection(api_url: str) -> Iterator[socket.socket]:
    place = urlsplit(api_url)
    with closing(socket.create_connection((place.hostname, place.port), timeout=10)) as opened:
        yield opened


def status_of(opened: socket.socket) -> int:
    """Of the whole answer: the server closes the connection after it."""
    answer = b""
    while chunk := opened.recv(65536):
        answer += chunk
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    assert found, answer
    return int(found[1])


@pytest.mark.parametrize("path", ["/v1/plans", "/v1/datasets/slow/baseline"])
def test_a_body_that_stops_coming_is_given_up(http: httpx2.Client, api_url: str, impatient: None, path: str) -> None:
    with connection(api_url) as opened:
        opened.sendall(HEAD.format(path=path, size="Content-Length: 100").encode() + b"{")
        assert status_of(opened) == 408
    assert http.get("/v1/datasets/slow").status_code == 404


@pytest.mark.parametrize("path", ["/v1/plans", "/v1/datasets/drip/baseline"])
def test_a_body_that_drips_is_given_up(http: httpx2.Client, api_url: str, impatient: None, path: str) -> None:
    with connection(api_url) as opened:
        opened.sendall(HEAD.format(path=path, size="Transfer-Encoding: chunked").encode())
        opened.settimeout(0.1)
        for _ in range(100):
            with suppress(ConnectionError):  # it has answered and hung up
                opened.sendall(b"1\r\n \r\n")
            try:
                first = opened.recv(65536)
            except TimeoutError:
                continue
            break
        assert first.startswith(b"HTTP/1.1 408")
    assert http.get("/v1/datasets/drip").status_code == 404


def test_who_signs_in_sends_little(http: httpx2.Client) -> None:
    assert http.post("/v1/session", json={"key": "a" * 150}).status_code == 401
    assert http.post("/v1/session", json={"key": "a" * 5_000}).status_code == 413


def test_an_upload_has_a_size(http: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPLOAD_BYTES", 1000)
    line = b'{"question": "What is one plus one?", "domain": "math", "difficulty": "easy"}\n'
    assert http.post("/v1/datasets/small/baseline", content=line).status_code == 200
    declared = http.post("/v1/datasets/big/baseline", content=line * 100)
    chunked = http.post("/v1/datasets/big/baseline", content=iter([line] * 100))
    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert "at most 1,000 bytes" in chunked.json()["detail"]
    assert http.get("/v1/datasets/big").status_code == 404
