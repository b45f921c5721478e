"""Who gets in: keys, their scopes and limits, sessions, and what is told to whom."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.access import scope_of
from api.app import create_app
from api.security import COOKIE
from cli.client import ApiProblem, AsyncQuestmill, Client, Questmill
from cli.doctor_jobs import key_check
from local.process import free_port
from shared.access import keys as access_keys
from shared.access.key_text import hash_secret, make_key
from shared.access.keys import create_key, find_listed, revoke_key
from shared.access.quotas import Quotas
from shared.access.scopes import Scope
from shared.settings import Settings
from tests.service.api.serving import (
    ROOT,
    START_SECONDS,
    api_settings,
    process_environment,
    serving,
    serving_process,
    silent_server,
)
from tests.service.conftest import at_database

EVERYWHERE = "0.0.0.0"  # noqa: S104 - on this machine, for a moment
NOWHERE = {"job_id": str(uuid4()), "question_id": "999999", "name": "nothing", "benchmark": "none", "version": "none-1"}
PATHS = sorted(
    (method, route.path, scope)
    for route in (each.original_route for each in iter_route_contexts(create_app(Settings()).routes))
    if isinstance(route, APIRoute) and (scope := scope_of(route))
    for method in route.methods or ()
)


async def make(engine: AsyncEngine, scope: Scope, rate: int | None = None, **quotas: Any) -> str:
    return await create_key(engine, f"k{uuid4().hex[:8]}", scope, requests_per_minute=rate, quotas=Quotas(**quotas))


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
async def keys(engine: AsyncEngine) -> dict[Scope, str]:
    return {scope: await make(engine, scope) for scope in Scope}


@pytest.fixture(scope="module")
def api_url(database_url: str, redis_url: str, providers: None) -> Iterator[str]:
    with serving(api_settings(database_url, redis_url, require_keys=True)) as url:
        yield url


@pytest.fixture(scope="module")
def open_url(database_url: str, redis_url: str, providers: None) -> Iterator[str]:
    """The same on loopback as it is out of the box: keys are optional."""
    with serving(api_settings(database_url, redis_url)) as url:
        yield url


@pytest.mark.parametrize(("method", "path", "needed"), PATHS)
def test_each_route_lets_in_those_whose_scope_covers_it(
    http: httpx2.Client, keys: dict[Scope, str], method: str, path: str, needed: Scope
) -> None:
    url = path.format(**NOWHERE)
    body = {"dry_run": True} if path == "/v1/prune" else None
    refused = http.request(method, url, json=body)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="questmill"'
    assert refused.headers["content-type"] == "application/problem+json"
    for scope, key in keys.items():
        answer = http.request(method, url, json=body, headers=bearing(key))
        if scope.covers(needed):
            assert answer.status_code not in {401, 403, 429, 500}, answer.text
        else:
            assert answer.status_code == 403
            assert answer.json()["type"] == "urn:questmill:out-of-scope"
            assert f"scope {needed}" in answer.json()["detail"]
            assert f'scope="{needed}"' in answer.headers["www-authenticate"]


def test_what_is_open_is_open(http: httpx2.Client) -> None:
    page = http.get("/")
    assert page.status_code == 200
    style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert http.get(style).status_code == 200
    assert http.get("/healthz").status_code == http.get("/readyz").status_code == 200
    assert http.get("/v1/session").json() == {"required": True, "key": None}


@pytest.mark.parametrize(
    "sent",
    [
        "Bearer",
        "Bearer qm_",
        "Bearer nonsense",
        "Bearer KEY",
        "bearer  KEYx",
        "Basic YTpi",
    ],
)
def test_a_wrong_key_is_refused(http: httpx2.Client, sent: str) -> None:
    headers = {"Authorization": sent.replace("KEY", make_key())}
    assert http.get("/v1/jobs", headers=headers).status_code == 401


async def test_a_revoked_key_is_refused_at_once_and_so_are_its_sessions(
    http: httpx2.Client, engine: AsyncEngine
) -> None:
    name = f"k{uuid4().hex[:8]}"
    key = await create_key(engine, name, Scope.READ, requests_per_minute=None, quotas=Quotas())
    token = http.post("/v1/session", json={"key": key}).cookies[COOKIE]
    http.cookies.clear()
    by_cookie = {"Cookie": f"{COOKIE}={token}"}
    assert http.get("/v1/jobs", headers=bearing(key)).status_code == 200
    assert http.get("/v1/jobs", headers=by_cookie).status_code == 200
    await revoke_key(engine, (await find_listed(engine, name)).id)
    assert http.get("/v1/jobs", headers=bearing(key)).status_code == 401
    assert http.get("/v1/jobs", headers=by_cookie).status_code == 401
    # Its name is free again, and another key is not touched.
    other = await create_key(engine, name, Scope.READ, requests_per_minute=None, quotas=Quotas())
    assert http.get("/v1/jobs", headers=bearing(other)).status_code == 200


async def test_last_use_is_written_once_a_minute_beside_the_request(http: httpx2.Client, engine: AsyncEngine) -> None:
    key = await make(engine, Scope.READ)
    find = text("SELECT last_used_at, xmin::text FROM api_key ORDER BY id DESC LIMIT 1")

    async def look() -> tuple[Any, str]:
        async with engine.connect() as conn:
            return tuple((await conn.execute(find)).one())

    assert (await look())[0] is None
    async with engine.begin() as conn:
        # Whoever keeps the row locked keeps no request waiting.
        await conn.execute(text("SELECT FROM api_key ORDER BY id DESC LIMIT 1 FOR UPDATE"))
        answer = await asyncio.to_thread(http.get, "/v1/jobs", headers=bearing(key), timeout=3)
        assert answer.status_code == 200
        assert (await look())[0] is None
    deadline = time.monotonic() + 5
    while (first := await look())[0] is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    for _ in range(5):
        await asyncio.to_thread(http.get, "/v1/jobs", headers=bearing(key))
    assert await look() == first


async def test_a_key_has_so_many_requests_a_minute_and_another_key_its_own(
    http: httpx2.Client, engine: AsyncEngine
) -> None:
    key, other = await make(engine, Scope.READ, rate=3), await make(engine, Scope.READ, rate=3)
    codes = [http.get("/v1/jobs", headers=bearing(key)).status_code for _ in range(3)]
    refused = http.get("/v1/datasets", headers=bearing(key))
    assert codes == [200, 200, 200]
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["type"] == "urn:questmill:too-many-requests"
    assert http.get("/v1/jobs", headers=bearing(other)).status_code == 200
    with (
        Client(str(http.base_url), SecretStr(key)) as client,
        pytest.raises(ApiProblem, match="try again in") as caught,
    ):
        client.newest_jobs()
    assert caught.value.status == 429


async def test_while_redis_is_away_a_key_with_a_rate_gets_in_without_waiting_long(
    database_url: str, engine: AsyncEngine, providers: None
) -> None:
    key = await make(engine, Scope.READ, rate=1)
    with silent_server() as port, serving(api_settings(database_url, f"redis://127.0.0.1:{port}/0")) as url:
        began = time.monotonic()
        codes = [
            (await asyncio.to_thread(httpx2.get, f"{url}/v1/jobs", headers=bearing(key))).status_code for _ in range(4)
        ]
        assert codes == [200] * 4
        assert time.monotonic() - began < 3


async def test_open_jobs_are_bounded_by_key(http: httpx2.Client, engine: AsyncEngine, spec: dict[str, Any]) -> None:
    key, other = await make(engine, Scope.SUBMIT, open_jobs=1), await make(engine, Scope.SUBMIT)
    first = http.post("/v1/jobs", json=spec, headers=bearing(key) | {"Idempotency-Key": uuid4().hex})
    assert first.status_code == 202
    second = {**spec, "dataset": f"{spec['dataset']}-b"}
    refused = http.post("/v1/jobs", json=second, headers=bearing(key))
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:questmill:quota-exceeded"
    assert "open jobs: 1 allowed, 1 taken, 1 more asked" in refused.json()["detail"]
    assert http.get(f"/v1/datasets/{second['dataset']}", headers=bearing(key)).status_code == 404  # nothing was written
    assert http.post("/v1/jobs", json=second, headers=bearing(other)).status_code == 202
    assert http.post(f"/v1/jobs/{first.json()['id']}/cancel", headers=bearing(key)).status_code == 200
    third = {**spec, "dataset": f"{spec['dataset']}-c"}
    assert http.post("/v1/jobs", json=third, headers=bearing(key)).status_code == 202


async def test_questions_count_as_planned_while_open_and_as_made_after(
    http: httpx2.Client, engine: AsyncEngine, spec: dict[str, Any]
) -> None:
    asked = http.post("/v1/plans", json=spec, headers=bearing(await make(engine, Scope.READ))).json()
    total = asked["totals"]["generate"]
    key = await make(engine, Scope.SUBMIT, questions=total + 10)
    job = http.post("/v1/jobs", json=spec, headers=bearing(key)).json()
    second = {**spec, "dataset": f"{spec['dataset']}-b"}
    refused = http.post("/v1/jobs", json=second, headers=bearing(key))
    assert f"questions: {total + 10:,} allowed, {total:,} taken, {total:,} more asked" in refused.json()["detail"]
    # Cancelled before it made any: the quota is whole again.
    http.post(f"/v1/jobs/{job['id']}/cancel", headers=bearing(key)).raise_for_status()
    assert http.post("/v1/jobs", json=second, headers=bearing(key)).status_code == 202


async def test_dollars_bound_budgets_also_when_they_are_raised(
    http: httpx2.Client, engine: AsyncEngine, spec: dict[str, Any]
) -> None:
    key, other = await make(engine, Scope.SUBMIT, usd=Decimal(5)), await make(engine, Scope.SUBMIT)
    job = http.post("/v1/jobs", json={**spec, "budget_usd": 2}, headers=bearing(key)).json()
    second = {**spec, "dataset": f"{spec['dataset']}-b", "budget_usd": 3.5}
    refused = http.post("/v1/jobs", json=second, headers=bearing(key))
    assert "dollars: $5.00 allowed, $2.00 taken, $3.50 more asked" in refused.json()["detail"]
    budget = f"/v1/jobs/{job['id']}/budget"
    assert http.post(budget, json={"budget_usd": 5}, headers=bearing(key)).status_code == 200
    beyond = http.post(budget, json={"budget_usd": 5.01}, headers=bearing(key))
    assert "dollars: $5.00 allowed, $5.00 taken, $0.01 more asked" in beyond.json()["detail"]
    assert http.post(budget, json={"budget_usd": 1}, headers=bearing(key)).status_code == 200
    http.post(f"/v1/jobs/{job['id']}/pause", headers=bearing(key)).raise_for_status()
    resumed = http.post(f"/v1/jobs/{job['id']}/resume", json={"budget_usd": 6}, headers=bearing(key))
    assert resumed.status_code == 403
    assert http.get(f"/v1/jobs/{job['id']}", headers=bearing(key)).json()["state"] == "paused"
    # By another key's job it cannot get around its limit; a key without one may.
    theirs = http.post("/v1/jobs", json={**second, "budget_usd": 1}, headers=bearing(other)).json()
    stolen = http.post(f"/v1/jobs/{theirs['id']}/budget", json={"budget_usd": 2}, headers=bearing(key))
    assert stolen.json()["type"] == "urn:questmill:not-your-job"
    assert http.post(budget, json={"budget_usd": 9}, headers=bearing(other)).status_code == 200


async def test_money_that_a_cancelled_job_may_still_cost_is_taken(
    http: httpx2.Client, engine: AsyncEngine, spec: dict[str, Any]
) -> None:
    key = await make(engine, Scope.SUBMIT, usd=Decimal(5))
    job = http.post("/v1/jobs", json={**spec, "budget_usd": 4}, headers=bearing(key)).json()
    http.post(f"/v1/jobs/{job['id']}/cancel", headers=bearing(key)).raise_for_status()
    async with engine.begin() as conn:
        held = text("UPDATE job_budget SET spent_usd = 1, held_usd = 2.5 WHERE job_id = :id")
        await conn.execute(held, {"id": job["id"]})
    second = {**spec, "dataset": f"{spec['dataset']}-b", "budget_usd": 2}
    refused = http.post("/v1/jobs", json=second, headers=bearing(key))
    assert "dollars: $5.00 allowed, $3.50 taken, $2.00 more asked" in refused.json()["detail"]
    assert http.post("/v1/jobs", json={**second, "budget_usd": 1.5}, headers=bearing(key)).status_code == 202


async def test_of_two_jobs_at_once_that_fit_alone_one_is_refused(
    http: httpx2.Client, engine: AsyncEngine, spec: dict[str, Any]
) -> None:
    key = await make(engine, Scope.SUBMIT, open_jobs=1)
    specs = [{**spec, "dataset": f"{spec['dataset']}-{number}"} for number in range(6)]
    answers = await asyncio.gather(
        *(asyncio.to_thread(http.post, "/v1/jobs", json=each, headers=bearing(key)) for each in specs)
    )
    assert sorted(answer.status_code for answer in answers) == [202] + [403] * 5


def test_a_browser_signs_in_and_out(http: httpx2.Client, keys: dict[Scope, str], spec: dict[str, Any]) -> None:
    own = {"Origin": str(http.base_url).rstrip("/")}
    signed_in = http.post("/v1/session", json={"key": f" {keys[Scope.SUBMIT]}\n"}, headers=own)
    assert signed_in.json()["key"]["scope"] == "submit"
    cookie = signed_in.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in cookie
    assert http.get("/v1/session").json()["key"] == signed_in.json()["key"]
    assert http.post("/v1/jobs", json=spec, headers=own).status_code == 202
    assert http.post("/v1/prune", json={}, headers=own).status_code == 403
    # Another site's page, or one that does not say which it is.
    foreign = {"Origin": "https://evil.example"}
    for headers in (foreign, {}, {"Origin": "null"}):
        refused = http.post(f"/v1/datasets/{spec['dataset']}/duplicates", json={"texts": []}, headers=headers)
        assert refused.json()["type"] == "urn:questmill:foreign-origin"
    assert http.get("/v1/jobs", headers=foreign).status_code == 403
    assert http.post("/v1/session", json={"key": keys[Scope.READ]}, headers=foreign).status_code == 403
    # Neither does a stream ask for more than the cookie.
    with http.stream("GET", f"/v1/jobs/{http.get('/v1/jobs').json()['items'][0]['id']}/events") as stream:
        assert stream.status_code == 200
    token = http.cookies[COOKIE]
    assert http.delete("/v1/session", headers=own).status_code == 204
    assert COOKIE not in http.cookies
    assert http.get("/v1/jobs", headers={"Cookie": f"{COOKIE}={token}"}).status_code == 401


async def test_an_open_stream_ends_with_its_key(
    database_url: str, redis_url: str, engine: AsyncEngine, providers: None, spec: dict[str, Any]
) -> None:
    name = f"k{uuid4().hex[:8]}"
    key = await create_key(engine, name, Scope.SUBMIT, requests_per_minute=None, quotas=Quotas())
    with serving(api_settings(database_url, redis_url, require_keys=True), look_again_seconds=0.1) as url:
        job = httpx2.post(f"{url}/v1/jobs", json=spec, headers=bearing(key)).json()

        def read() -> bytes:
            with httpx2.stream("GET", f"{url}/v1/jobs/{job['id']}/events", headers=bearing(key), timeout=20) as answer:
                chunks = answer.iter_bytes()
                first = next(chunks)
                loop.call_soon_threadsafe(opened.set)
                return first + b"".join(chunks)

        loop, opened = asyncio.get_running_loop(), asyncio.Event()
        reading = asyncio.create_task(asyncio.to_thread(read))
        await opened.wait()
        await revoke_key(engine, (await find_listed(engine, name)).id)
        told = await asyncio.wait_for(reading, 15)
    assert b"event: progress" in told
    assert b"event: end" not in told


def test_behind_tls_the_cookie_is_secure(database_url: str, redis_url: str, keys: dict[Scope, str]) -> None:
    with serving(api_settings(database_url, redis_url, allowed_hosts="q.example")) as url:
        headers = {"Host": "q.example", "Origin": "https://q.example"}
        signed_in = httpx2.post(f"{url}/v1/session", json={"key": keys[Scope.READ]}, headers=headers)
        assert "; secure" in signed_in.headers["set-cookie"].lower()
        assert (
            httpx2.get(f"{url}/v1/jobs", headers={"Host": "r.example", **bearing(keys[Scope.READ])}).status_code == 403
        )


def sign_in_anew(http: httpx2.Client, key: str) -> httpx2.Response:
    """As another browser does."""
    answer = http.post("/v1/session", json={"key": key})
    http.cookies.clear()
    return answer


async def test_a_key_has_so_many_sessions_and_the_oldest_end_first(
    http: httpx2.Client, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_keys, "MOST_SESSIONS", 3)
    key = await make(engine, Scope.READ)
    tokens = [sign_in_anew(http, key).cookies[COOKIE] for _ in range(5)]
    codes = [http.get("/v1/jobs", headers={"Cookie": f"{COOKIE}={token}"}).status_code for token in tokens]
    assert codes == [401, 401, 200, 200, 200]


async def test_signing_in_counts_as_a_request(http: httpx2.Client, engine: AsyncEngine) -> None:
    key = await make(engine, Scope.READ, rate=2)
    answers = [sign_in_anew(http, key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_an_old_session_is_over(http: httpx2.Client, engine: AsyncEngine, keys: dict[Scope, str]) -> None:
    token = http.post("/v1/session", json={"key": keys[Scope.READ]}).cookies[COOKIE]
    assert http.get("/v1/jobs").status_code == 200
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE api_session SET expires_at = now() - interval '1 second'"))
    assert http.get("/v1/jobs").status_code == 401
    http.cookies.clear()
    http.post("/v1/session", json={"key": keys[Scope.READ]}).raise_for_status()
    async with engine.connect() as conn:
        left = text("SELECT COUNT(*) FROM api_session WHERE token_hash = :hash")
        assert (await conn.execute(left, {"hash": hash_secret(token)})).scalar_one() == 0
    assert token != http.cookies[COOKIE]


def test_on_loopback_keys_are_optional_but_count(open_url: str, keys: dict[Scope, str]) -> None:
    with httpx2.Client(base_url=open_url, timeout=20) as http:
        assert http.get("/v1/jobs").status_code == 200
        assert http.get("/v1/session").json() == {"required": False, "key": None}
        assert http.post("/v1/prune", json={"dry_run": True}, headers=bearing(keys[Scope.READ])).status_code == 403
        assert http.get("/v1/jobs", headers=bearing(make_key())).status_code == 401
        assert http.get("/v1/jobs", headers={"Cookie": f"{COOKIE}=old"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/jobs", "/v1/session", "/nowhere", "/metrics", "/openapi.json"])
def test_every_answer_has_the_safe_headers(http: httpx2.Client, path: str) -> None:
    for answer in (http.get(path), http.post(path), http.get(path, headers={"Host": "evil.example"})):
        policy = set(answer.headers["content-security-policy"].split("; "))
        assert {"default-src 'self'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"} <= policy
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] in {"no-store", "no-cache"}


async def test_clients_send_their_key_and_say_in_a_sentence_what_is_missing(
    http: httpx2.Client, keys: dict[Scope, str]
) -> None:
    url = str(http.base_url).rstrip("/")
    with Client(url) as client:
        with pytest.raises(ApiProblem, match="needs a key: set QUESTMILL_API_KEY") as caught:
            client.newest_jobs()
        assert caught.value.status == 401
        assert "not set, and the API needs a key" in key_check(client).text
    wrong = make_key()
    with Client(url, SecretStr(wrong)) as client:
        with pytest.raises(ApiProblem, match="does not know the key") as caught:
            client.newest_jobs()
        assert wrong not in str(caught.value)
        assert "does not know the key" in key_check(client).text
    with Client(url, SecretStr(keys[Scope.READ])) as client:
        assert client.newest_jobs() is not None
        assert "of the scope read" in key_check(client).text
        with pytest.raises(ApiProblem, match="needs a key of the scope admin"):
            client.prune()
    with pytest.raises(ApiProblem, match="is no key"):
        Client(url, SecretStr(f"{wrong}\n€"))
    with Questmill(url, api_key=keys[Scope.READ]) as questmill:
        assert isinstance(questmill.jobs(), list)
        assert keys[Scope.READ] not in repr(questmill)
    async with AsyncQuestmill(url, api_key=keys[Scope.READ]) as patient:
        assert isinstance(await patient.jobs(), list)
        assert keys[Scope.READ] not in repr(patient)


# Processes of their own: whether they start, and what they write.


def refusal(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        check=False,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 2
    return done.stderr


@pytest.fixture
def empty_database(postgres_url: str, template_database: str) -> Iterator[str]:
    """Migrated, without any key."""
    name = f"questmill_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(clone.format(sql.Identifier(name), sql.Identifier(template_database)))
        yield at_database(postgres_url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    "more",
    [
        {"QUESTMILL_API_HOST": EVERYWHERE, "QUESTMILL_ALLOWED_HOSTS": "q.example"},
        {"QUESTMILL_API_HOST": "127.0.0.1", "QUESTMILL_REQUIRE_KEYS": "true"},
        {"QUESTMILL_API_HOST": EVERYWHERE, "QUESTMILL_API_PUBLISHED_HOST": "192.168.7.7"},
    ],
)
def test_without_a_key_it_does_not_start_where_one_is_needed(
    empty_database: str, redis_url: str, more: dict[str, str]
) -> None:
    said = refusal(process_environment(empty_database, redis_url, **more))
    assert "./run keys create NAME --scope admin" in said
    assert "Traceback" not in said


def test_it_does_not_start_for_all_the_world_under_unknown_names(database_url: str, redis_url: str) -> None:
    assert "QUESTMILL_ALLOWED_HOSTS" in refusal(
        process_environment(database_url, redis_url, QUESTMILL_API_HOST=EVERYWHERE)
    )


def test_while_the_database_is_away_it_starts_and_lets_nobody_in(redis_url: str) -> None:
    nowhere = f"postgresql://questmill@127.0.0.1:{free_port()}/questmill"
    with serving_process(nowhere, redis_url, QUESTMILL_REQUIRE_KEYS="true") as (url, _):
        assert httpx2.get(f"{url}/v1/jobs").status_code == 401
        away = httpx2.get(f"{url}/v1/jobs", headers=bearing(make_key()))
        assert away.status_code == 503
        assert away.json()["type"] == "urn:questmill:unavailable"
        assert httpx2.get(f"{url}/v1/session").json() == {"required": True, "key": None}


def test_on_an_older_schema_it_says_what_to_do(postgres_url: str, redis_url: str) -> None:
    said = refusal(process_environment(postgres_url, redis_url, QUESTMILL_REQUIRE_KEYS="true"))
    assert "run db upgrade" in said


async def test_a_key_is_in_no_log_no_answer_and_no_table(
    database_url: str, redis_url: str, engine: AsyncEngine, providers: None, tmp_path: Path, spec: dict[str, Any]
) -> None:
    key = await make(engine, Scope.ADMIN, rate=1000, usd=Decimal(100))
    unknown = make_key()
    seen: list[str] = []

    def note(answer: httpx2.Response) -> httpx2.Response:
        seen.append(f"{answer.status_code} {answer.headers!r} {answer.text}")
        return answer

    log = tmp_path / "api.log"
    more = {"QUESTMILL_API_HOST": EVERYWHERE, "QUESTMILL_ALLOWED_HOSTS": "127.0.0.1", "QUESTMILL_LOG_LEVEL": "DEBUG"}
    with (
        serving_process(database_url, redis_url, log=log, **more) as (url, _),
        httpx2.Client(base_url=url, timeout=20) as http,
    ):
        for secret in (key, unknown):
            for path in (
                "/v1/jobs",
                "/metrics",
                "/openapi.json",
                f"/v1/jobs/{uuid4()}",
                "/v1/datasets/Q",
                "/v1/session",
            ):
                note(http.get(path, headers=bearing(secret)))
            note(http.post("/v1/session", json={"key": secret}, headers={"Origin": url}))
            note(http.post("/v1/session", json={"key": secret, "more": 1}, headers={"Origin": url}))
            note(http.post("/v1/session", json={"key": [secret]}, headers={"Origin": url}))
            note(http.post("/v1/session", json={"key": secret * 9}, headers={"Origin": url}))
            note(http.post("/v1/session", content=f'{{"key": "{secret}"', headers={"Origin": url}))
            http.cookies.clear()
            note(http.post("/v1/jobs", json=spec, headers=bearing(secret)))
        with Client(url, SecretStr(unknown)) as client, pytest.raises(ApiProblem) as caught:
            client.newest_jobs()
        seen.append(f"{caught.value!r} {caught.value.problem} {client!r} {vars(client)}")
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT CAST(t AS text) FROM {table} AS t".encode()).fetchall()
            seen.extend(row for (row,) in rows)
    told = "\n".join(seen)
    assert "200 " in told
    assert "202 " in told
    written = log.read_text()
    assert "running on" in written.lower()
    for secret in (key, unknown):
        assert secret not in told
        assert secret.removeprefix("qm_") not in told + written
