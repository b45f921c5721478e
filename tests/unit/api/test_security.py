import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.security import RefuseForeignOrigin


def status(headers: dict[str, str], bound_host: str = "127.0.0.1") -> int:
    inner = Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])])
    client = TestClient(RefuseForeignOrigin(inner, bound_host=bound_host), base_url="http://localhost:8000")
    return client.post("/", headers=headers).status_code


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_this_machine_may_by_any_of_its_names(host: str) -> None:
    assert status({"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "localhost:8000:1",
        "localhost:",
        "",
    ],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    assert status({"Host": host}) == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8000", "https://[::1]"])
def test_a_page_of_this_machine_may(origin: str) -> None:
    assert status({"Origin": origin}) == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://localhost:8000/x", ""],
)
def test_a_foreign_page_is_refused(origin: str) -> None:
    assert status({"Origin": origin}) == 403


def test_the_address_that_we_were_told_to_bind_is_our_own() -> None:
    assert status({"Host": "192.168.7.7:8000"}, bound_host="192.168.7.7") == 200
    assert status({"Host": "192.168.7.7:8000"}, bound_host="0.0.0.0") == 403  # noqa: S104 - nothing is bound
