"""A key under attack does what its scope allows and nothing else, whatever is sent with it."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.access.keys import create_key
from shared.access.quotas import Quotas
from shared.access.scopes import Scope
from shared.database.engine import libpq_url
from shared.ids import QuestionId
from tests.faults.patience import Patience
from tests.faults.system import wait_until
from tests.hostile.attack import ANSWER_SECONDS, BY_COOKIE, BY_KEY, SECONDS, Known, answers, attack, bearing, is_ready
from tests.service.api.serving import serving_process
from tests.service.corpus.test_samples import make_whole

Answered = Mapping[tuple[str, str], Mapping[int, int]]

DATASET = "stocked"
PER_MINUTE = 5
SPEC = {
    "dataset": "planned",
    "mix": {
        "domains": {"math": 60, "reading": 40},
        "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}},
    },
}


async def make_key(engine: AsyncEngine, name: str, scope: Scope, per_minute: int | None = None) -> str:
    return await create_key(engine, name, scope, requests_per_minute=per_minute, quotas=Quotas())


@pytest.fixture(scope="module")
async def watcher(engine: AsyncEngine, providers: None) -> str:
    """A key that nobody attacks with."""
    return await make_key(engine, "watcher", Scope.ADMIN)


@pytest.fixture(scope="module")
async def questions(engine: AsyncEngine) -> tuple[QuestionId, ...]:
    """Those of a dataset that knows answers, verdicts and a rejection."""
    return await make_whole(engine, DATASET)


@pytest.fixture(scope="module")
def api_url(database_url: str, redis_url: str, watcher: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An API without workers: what changes, a request has changed."""
    log = tmp_path_factory.mktemp("api") / "log"
    with serving_process(database_url, redis_url, log=log, QUESTMILL_REQUIRE_KEYS="true") as (url, process):
        yield url
        assert process.poll() is None, "the API has ended"
        wait_until(lambda: is_ready(url), "the API to be ready")
    said = log.read_text()
    assert "Traceback" not in said
    assert "ERROR" not in said


@pytest.fixture(scope="module")
def known(api_url: str, watcher: str, questions: tuple[QuestionId, ...]) -> Known:
    posted = httpx2.post(f"{api_url}/v1/jobs", json=SPEC, headers=bearing(watcher), timeout=ANSWER_SECONDS)
    job_id = posted.raise_for_status().json()["id"]
    return {"names": [DATASET], "jobs": [job_id], "questions": [int(each) for each in questions], "domains": ["math"]}


def digest(database_url: str) -> dict[str, Any]:
    """All that the database holds, but when keys were last used and who is signed in."""
    with psycopg.connect(libpq_url(database_url)) as conn:
        conn.execute("UPDATE api_key SET last_used_at = NULL")
        conn.execute("DELETE FROM api_session")
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        query = sql.SQL("SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {} t")
        found = {name: conn.execute(query.format(sql.Identifier(name))).fetchone() for (name,) in tables}
        conn.rollback()
    assert found["call"] != (0, None)
    return found


def beyond(url: str, key: str, scope: Scope) -> list[tuple[str, str]]:
    """The operations that need more than this scope."""
    described = httpx2.get(f"{url}/openapi.json", headers=bearing(key), timeout=ANSWER_SECONDS)
    paths = described.raise_for_status().json()["paths"]
    return [
        (method.upper(), path)
        for path, item in paths.items()
        for method, operation in item.items()
        if (needed := operation.get("x-questmill-scope")) and not scope.covers(Scope(needed))
    ]


async def test_a_key_that_may_read_changes_nothing(
    api_url: str, database_url: str, engine: AsyncEngine, watcher: str, known: Known, tmp_path: Path
) -> None:
    key = await make_key(engine, "reader", Scope.READ)
    before, answered_before = digest(database_url), answers(api_url, watcher)
    attack(api_url, key, tmp_path, share=0.25, known=known)
    attack_untried(api_url, key, tmp_path, watcher, Scope.READ, answered_before, known=known)
    assert digest(database_url) == before
    check_refused(api_url, watcher, Scope.READ, answered_before)


async def test_a_session_that_may_submit_does_nothing_that_needs_an_administrator(
    api_url: str, database_url: str, engine: AsyncEngine, watcher: str, known: Known, tmp_path: Path
) -> None:
    key = await make_key(engine, "submitter", Scope.SUBMIT)
    before, answered_before = digest(database_url), answers(api_url, watcher)
    attack_untried(api_url, key, tmp_path, watcher, Scope.SUBMIT, answered_before, known=known, way=BY_COOKIE)
    assert digest(database_url) == before
    check_refused(api_url, watcher, Scope.SUBMIT, answered_before)


def attack_untried(
    url: str, key: str, folder: Path, watcher: str, scope: Scope, before: Answered, *, known: Known, way: str = BY_KEY
) -> None:
    """Attack what is beyond the scope and was not tried since; again, as a slow machine does not reach all at once."""
    patience = Patience(SECONDS)
    while untried := [
        f"{method} {path}"
        for (method, path), statuses in answered_beyond(url, watcher, scope, before).items()
        if statuses <= {401}
    ]:
        assert not patience.is_over(), f"{untried} were never tried"
        attack(url, key, folder, share=0.1, known=known, way=way, only=untried)


def answered_beyond(url: str, watcher: str, scope: Scope, before: Answered) -> dict[tuple[str, str], set[int]]:
    """The operations beyond the scope, each with the statuses of its answers since."""
    answered = answers(url, watcher)
    return {
        operation: {
            status for status, times in answered[operation].items() if times > before.get(operation, {}).get(status, 0)
        }
        for operation in beyond(url, watcher, scope)
    }


def check_refused(url: str, watcher: str, scope: Scope, before: Answered) -> None:
    """Each operation beyond the scope was tried, and refused each time: with 403, or 401 where the key was spoiled."""
    refused = answered_beyond(url, watcher, scope, before)
    assert refused
    for operation, statuses in refused.items():
        assert 403 in statuses, f"{operation} was never tried"
        assert statuses <= {401, 403}, operation


async def test_a_key_with_a_rate_is_refused_beyond_it_in_the_documented_way(
    api_url: str, engine: AsyncEngine, watcher: str, known: Known, tmp_path: Path
) -> None:
    key = await make_key(engine, "limited", Scope.ADMIN, per_minute=PER_MINUTE)
    before, refused_before, began = *count(answers(api_url, watcher)), time.monotonic()
    attack(api_url, key, tmp_path, share=0.08, known=known)
    after, refused_after = count(answers(api_url, watcher))
    # A minute begins with its first request; the watcher's own requests pass as well.
    minutes = (time.monotonic() - began) // 60 + 1
    assert 0 < after - before <= PER_MINUTE * minutes + 2
    assert refused_after - refused_before > PER_MINUTE


def count(answered: dict[tuple[str, str], dict[int, int]]) -> tuple[int, int]:
    """How many requests got beyond the door of operations that ask for a key, and how many were refused by the rate."""
    doors = {401, 403, 405, 429}
    open_to_all = {"/healthz", "/readyz", "/v1/session", "unmatched"}
    passed = sum(
        times
        for (_, route), statuses in answered.items()
        for status, times in statuses.items()
        if route not in open_to_all and status not in doors
    )
    return passed, sum(statuses.get(429, 0) for statuses in answered.values())
