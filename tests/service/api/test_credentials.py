"""Keys and cookies that are none, however they are written."""

from collections.abc import Iterator
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from api.security import COOKIE, read_cookies
from shared.access.keys import create_key, find_listed, revoke_key
from shared.access.quotas import Quotas
from shared.access.scopes import Scope
from shared.database.engine import engine_for
from tests.service.api.serving import api_settings, serving
from tests.service.api.test_problems import check_problem
from tests.service.conftest import at_database

UNKNOWN = f"qm_{'u' * 43}"
FORGED = "f" * 43


async def make(engine: AsyncEngine, name: str) -> str:
    return await create_key(engine, name, Scope.ADMIN, requests_per_minute=None, quotas=Quotas())


@pytest.fixture(scope="module")
def api_url(database_url: str, redis_url: str, providers: None) -> Iterator[str]:
    with serving(api_settings(database_url, redis_url, require_keys=True)) as url:
        yield url


@pytest.fixture(scope="module")
async def key(engine: AsyncEngine) -> str:
    return await make(engine, "ours")


@pytest.fixture(scope="module")
async def revoked(engine: AsyncEngine) -> str:
    key = await make(engine, "revoked")
    await revoke_key(engine, (await find_listed(engine, "revoked")).id)
    return key


@pytest.fixture(scope="module")
async def elsewhere(postgres_url: str, template_database: str) -> str:
    """A key of another database on the same server."""
    name = f"questmill_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(clone.format(sql.Identifier(name), sql.Identifier(template_database)))
        async with engine_for(at_database(postgres_url, name), application="questmill test") as engine:
            key = await make(engine, "ours")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    return key


def ask(http: httpx2.Client, *headers: tuple[str, bytes], method: str = "GET") -> httpx2.Response:
    url = "/v1/jobs" if method == "GET" else "/v1/prune"
    content = None if method == "GET" else b'{"dry_run": true}'
    return http.request(method, url, headers=[(name.encode(), value) for name, value in headers], content=content)


@pytest.mark.parametrize("written", ["Bearer KEY", "bearer KEY", "BEARER KEY", "Bearer  KEY"])
def test_a_key_is_taken_however_the_way_is_written(http: httpx2.Client, key: str, written: str) -> None:
    assert ask(http, ("Authorization", written.replace("KEY", key).encode())).status_code == 200


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"KEY",
        b"Bearer",
        b"Bearer\tKEY",
        b"Bearer:KEY",
        b"Bearer=KEY",
        b"Bearer KEY,",
        b"Bearer KEY KEY",
        b"Bearer KEY, Bearer KEY",
        b"Bearer Bearer KEY",
        b'Bearer "KEY"',
        b"Basic KEY",
        b"Basic Og==",
        b"Digest username=KEY",
        b"Negotiate KEY",
        b"Bearer KEYA",
        b"Bearer xKEY",
        b"Bearer qm_",
        b"Bearer qm_" + b"A" * 43,
        b"Bearer qm_" + b"A" * 30_000,
        b"Bearer " + b"qm_" * 10_000,
        b"Bearer %s%s%n%x ${jndi:ldap://127.0.0.1/a} {{7*7}}",
        b"Bearer ' OR '1'='1",
        b"Bearer ../../etc/passwd",
        b"Bearer null",
        b"Bearer true",
        b"Bearer *",
        "Bearer qm_é".encode(),
        "Bearer qm_é".encode("latin-1"),
        b"Bearer \xff\xfe\xfd",
        b"Bearer qm_" + b"\xc0\xaf" * 21 + b"A",
        f"Bearer {UNKNOWN}".encode(),
    ],
)
def test_what_is_no_key_is_refused(http: httpx2.Client, key: str, written: bytes) -> None:
    for method in ("GET", "POST"):
        refused = ask(http, ("Authorization", written.replace(b"KEY", key.encode())), method=method)
        check_problem(refused, 401)
        assert refused.headers["www-authenticate"] == 'Bearer realm="questmill"'
        assert key not in refused.text
        assert UNKNOWN not in refused.text


def test_a_key_with_another_case_is_another(http: httpx2.Client, key: str) -> None:
    assert ask(http, ("Authorization", b"Bearer " + key.swapcase().encode())).status_code == 401
    assert ask(http, ("Authorization", b"Bearer qm_" + key[3:].swapcase().encode())).status_code == 401


def test_keys_that_are_revoked_or_of_another_database_are_none(
    http: httpx2.Client, revoked: str, elsewhere: str
) -> None:
    for none in (revoked, elsewhere):
        check_problem(ask(http, ("Authorization", f"Bearer {none}".encode())), 401)
        check_problem(http.post("/v1/session", json={"key": none}), 401)


@pytest.mark.parametrize("other", ["Bearer KEY", f"Bearer {UNKNOWN}", "Bearer"])
def test_of_several_keys_none_counts(http: httpx2.Client, key: str, other: str) -> None:
    one, two = ("Authorization", f"Bearer {key}".encode()), ("authorization", other.replace("KEY", key).encode())
    assert ask(http, one, two).status_code == ask(http, two, one).status_code == 401


def test_beside_a_proxys_own_password_a_key_counts(http: httpx2.Client, key: str) -> None:
    basic, ours = ("Authorization", b"Basic Og=="), ("Authorization", f"Bearer {key}".encode())
    assert ask(http, basic, ours).status_code == ask(http, ours, basic).status_code == 200


def test_a_wrong_key_is_refused_also_with_a_good_cookie(http: httpx2.Client, key: str) -> None:
    token = sign_in(http, key)
    assert ask(http, ("Cookie", f"{COOKIE}={token}".encode())).status_code == 200
    both = ("Cookie", f"{COOKIE}={token}".encode()), ("Authorization", f"Bearer {UNKNOWN}".encode())
    assert ask(http, *both).status_code == 401


def sign_in(http: httpx2.Client, key: str) -> str:
    token = http.post("/v1/session", json={"key": key}).raise_for_status().cookies[COOKIE]
    http.cookies.clear()
    return token


@pytest.mark.parametrize(
    "written",
    [
        "",
        "=",
        ";;;",
        f"{COOKIE}",
        f"{COOKIE}=",
        f'{COOKIE}="TOKEN"',
        f"{COOKIE}=TOKEN=",
        f"{COOKIE}=TOKEN TOKEN",
        f"{COOKIE}=KEY",
        f"{COOKIE.upper()}=TOKEN",
        f"x{COOKIE}=TOKEN",
        f"{COOKIE}={FORGED}",
        f"{COOKIE}={'A' * 30_000}",
        f"{COOKIE}=' OR 1=1",
        f"{COOKIE}=%00%ff",
        f"{COOKIE}={FORGED}; {COOKIE}=TOKEN",
        f"{COOKIE}=TOKEN; {COOKIE}={FORGED}",
        f"{COOKIE}=TOKEN; {COOKIE}=TOKEN",
        f"{'; '.join(f'c{number}=1' for number in range(3000))}",
    ],
)
def test_what_is_no_session_of_ours_is_none(http: httpx2.Client, key: str, written: str) -> None:
    token = sign_in(http, key)
    assert ask(http, ("Cookie", f"{COOKIE}={token}".encode())).status_code == 200
    cookie = ("Cookie", written.replace("TOKEN", token).replace("KEY", key).encode())
    origin = ("Origin", str(http.base_url).rstrip("/").encode())
    check_problem(ask(http, cookie), 401)
    check_problem(ask(http, cookie, origin, method="POST"), 401)
    assert http.get("/v1/session", headers=[(b"Cookie", cookie[1])]).json() == {"required": True, "key": None}
    assert http.delete("/v1/session", headers=[(b"Cookie", cookie[1]), (b"Origin", origin[1])]).status_code == 204
    # Signing out counts also beside a cookie that a neighbour has planted.
    is_over = token in read_cookies([(b"cookie", cookie[1])])
    assert ask(http, ("Cookie", f"{COOKIE}={token}".encode())).status_code == (401 if is_over else 200)


def test_a_cookie_in_two_headers_is_one_too_many(http: httpx2.Client, key: str) -> None:
    token = sign_in(http, key)
    cookies = [("Cookie", f"{COOKIE}={FORGED}".encode()), ("Cookie", f"{COOKIE}={token}".encode())]
    assert ask(http, *cookies).status_code == 401


@pytest.mark.parametrize(
    "name", ["Host", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded"]
)
@pytest.mark.parametrize(
    "value",
    [b"evil.example", b"127.0.0.1", b"", b"https", b"javascript", b"a" * 10_000, b"\xff\xfe", b"host=evil;proto=https"],
)
def test_no_header_of_a_proxy_gets_anybody_in(http: httpx2.Client, key: str, name: str, value: bytes) -> None:
    check_problem(ask(http, (name, value)), 403 if name == "Host" and value != b"127.0.0.1" else 401)
    bearing = ("Authorization", f"Bearer {key}".encode())
    answer = ask(http, (name, value), bearing)
    assert answer.status_code == (403 if name == "Host" and value != b"127.0.0.1" else 200)
    assert "evil" not in f"{answer.headers}"


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"", b"\xff", b"http://127.0.0.1.evil.example"])
def test_a_foreign_page_gets_nowhere_by_a_cookie(http: httpx2.Client, key: str, origin: bytes) -> None:
    cookie = ("Cookie", f"{COOKIE}={sign_in(http, key)}".encode())
    for method in ("GET", "POST"):
        check_problem(ask(http, cookie, ("Origin", origin), method=method), 403)
    assert ask(http, cookie, ("Origin", origin), ("X-Forwarded-Host", b"evil.example")).status_code == 403
