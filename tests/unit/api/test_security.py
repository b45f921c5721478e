import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from api.security import COOKIE, RefuseForeignOrigin, own_names
from shared.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound


def status(headers: dict[str, str], method: str = "POST", path: str = "/", **set_to: object) -> int:
    settings = Settings.model_validate(set_to)
    inner = Starlette(routes=[Route("/{any:path}", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])])
    guarded = RefuseForeignOrigin(inner, names=own_names(settings), keys_required=settings.keys_required)
    return TestClient(guarded, base_url="http://localhost:8000").request(method, path, headers=headers).status_code


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
    assert status({"Host": "192.168.7.7:8000"}, api_host="192.168.7.7") == 200
    assert status({"Host": "192.168.7.7:8000"}, api_host=EVERYWHERE) == 403


OUTSIDE = {"api_host": EVERYWHERE, "allowed_hosts": "q.example, 10.0.0.5"}
COOKIE_SENT = {"Cookie": f"theme=dark; {COOKIE}=x"}


@pytest.mark.parametrize(
    ("host", "expected"),
    [("q.example", 200), ("Q.EXAMPLE:443", 200), ("10.0.0.5:8000", 200), ("localhost:8000", 200), ("r.example", 403)],
)
def test_with_keys_the_allowed_hosts_are_ours(host: str, expected: int) -> None:
    assert status({"Host": host}, **OUTSIDE) == expected


def test_a_star_allows_any_host() -> None:
    assert status({"Host": "r.example:8000"}, api_host=EVERYWHERE, allowed_hosts="*") == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_not_know_our_name_with_keys(path: str) -> None:
    assert status({"Host": "10.1.2.3:8000"}, "GET", path, **OUTSIDE) == 200
    assert status({"Host": "10.1.2.3:8000"}, "GET", path) == 403


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://q.example", 200),
        ("https://q.example", 200),
        ("https://Q.example", 200),
        ("https://q.example:8443", 403),
        ("https://10.0.0.5", 403),
        ("http://localhost:8000", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        (None, 403),
    ],
)
def test_what_changes_something_by_the_cookie_comes_from_our_own_page(origin: str | None, expected: int) -> None:
    said = {} if origin is None else {"Origin": origin}
    assert status({"Host": "q.example", **COOKIE_SENT, **said}, **OUTSIDE) == expected


def test_looking_by_the_cookie_needs_no_origin_but_a_foreign_one_is_refused() -> None:
    assert status({"Host": "q.example", **COOKIE_SENT}, "GET", **OUTSIDE) == 200
    assert status({"Host": "q.example", **COOKIE_SENT, "Origin": "https://evil.example"}, "GET", **OUTSIDE) == 403


def test_a_key_is_immune_to_other_sites() -> None:
    bearing = {"Host": "q.example", "Authorization": "Bearer qm_x"}
    assert status({**bearing, **COOKIE_SENT, "Origin": "https://evil.example"}, **OUTSIDE) == 200
    assert status({**bearing, "Authorization": "Basic x", **COOKIE_SENT}, **OUTSIDE) == 403


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({}, False),
        ({"api_host": "::1"}, False),
        ({"api_host": EVERYWHERE}, True),
        ({"api_host": "192.168.7.7"}, True),
        ({"api_host": EVERYWHERE, "api_published_host": "127.0.0.1"}, False),
        ({"api_host": "127.0.0.1", "api_published_host": EVERYWHERE}, True),
        ({"allowed_hosts": "q.example"}, True),
        ({"require_keys": True}, True),
    ],
)
def test_keys_are_required_as_soon_as_others_reach_us(set_to: dict[str, object], expected: bool) -> None:
    assert Settings.model_validate(set_to).keys_required is expected
