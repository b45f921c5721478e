"""GET /metrics: the numbers of the rows, in a form that Prometheus reads, also when the database is away."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import httpx2
import psycopg
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.ext.asyncio import AsyncEngine

from api import system_metrics
from api.metrics import Metrics
from api.system_metrics import SystemCollector
from shared.database.engine import engine_for, libpq_url
from shared.database.states import Stage
from shared.ids import new_call_id
from shared.jobs.control import pause_if_running, pause_job
from shared.jobs.system_sums import SystemSums, read_system_sums
from shared.jobs.worker_reports import WorkerReport, report_worker
from shared.llm.ledger import NewCall, Settlement, open_call, settle_calls
from tests.service.api.serving import api_settings, serving
from tests.service.factories import admit_reply, make_dataset, make_hold
from tests.service.jobs.world import execute, expire
from tests.service.workers.scripted import reply_of
from workers.reconciler import Reconciler

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
MODEL = "openai/gpt-6-luna"
REPORT = WorkerReport("host:1", 2, 5, 40, 0.5, 12.5, 1)


async def scrape(metrics: Metrics) -> dict[str, Metric]:
    text = (await metrics.render()).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float | None:
    for family in families.values():
        for each in family.samples:
            if each.name == sample and each.labels == labels:
                return each.value
    return None


async def read_labels(metrics: Metrics) -> dict[str, set[str]]:
    """The labels of every metric that queries name."""
    metrics.requests.labels("GET", "/v1/jobs", 200).inc()
    metrics.seconds.labels("GET", "/v1/jobs").observe(0.01)
    labels: dict[str, set[str]] = {}
    for name, family in (await scrape(metrics)).items():
        suffix = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
        labels[f"{name}{suffix}"] = {key for sample in family.samples for key in sample.labels}
    return labels


def check_query(query: str, labels: dict[str, set[str]]) -> None:
    """Every metric of it is there, and has the labels that are asked of it."""
    named = re.findall(r"questmill_\w+", query)
    assert named, query
    assert set(named) <= labels.keys(), query
    for name, selected in re.findall(r"(questmill_\w+)\{([^}]*)\}", query):
        assert set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", selected)) <= labels[name], query
    by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    assert by <= set().union(*(labels[name] for name in named)), query


@pytest.fixture
async def seen_reconciler(database_url: str) -> AsyncIterator[None]:
    """A session such as a reconciler has."""
    async with await psycopg.AsyncConnection.connect(
        libpq_url(database_url), autocommit=True, application_name="questmill-reconciler"
    ) as connection:
        await connection.execute("SELECT 1")
        yield


@pytest.fixture
def metrics(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """Reads at each scrape."""
    monkeypatch.setattr(system_metrics, "FRESH_SECONDS", 0.0)

    async def read() -> SystemSums:
        return await read_system_sums(engine)

    return Metrics(open_streams=lambda: 0, system=SystemCollector(read, is_up))


async def is_up() -> bool:
    return True


@pytest.fixture(scope="module")
async def history(engine: AsyncEngine) -> None:
    """Two jobs: one call answered and its question admitted, one refused, one under way; a lease that ran out."""
    async with engine.begin() as conn:
        hold = await make_hold(conn, "seen")
        for ordinal in range(3):
            call_id = new_call_id()
            new = NewCall(hold, call_id=call_id, ordinal=ordinal, model=MODEL, prompt={}, worst_usd=Decimal("0.01"))
            await open_call(conn, new)
            if ordinal == 0:
                await settle_calls(conn, [Settlement(call_id, reply_of("Why?"), Decimal("0.0025"))])
        await admit_reply(conn, hold, "What is one plus one?")
        stale = await make_hold(conn, "stale")
        await report_worker(conn, REPORT)
    await execute(engine, "UPDATE batch SET generated = 2, admitted = 1, rejected = '{\"exact\": 1}' WHERE id = :id",
                  id=hold.batch_id)  # fmt: skip
    await execute(
        engine,
        """INSERT INTO incident (job_id, batch_id, kind, fence) VALUES (:job, :batch, 'lease_expired', 1),
               (:job, :batch, 'fenced_off', 1), (:job, :batch, 'fenced_off', 2)""",
        job=hold.job_id,
        batch=hold.batch_id,
    )
    await expire(engine, stale.batch_id)


@pytest.mark.usefixtures("history")
async def test_the_numbers_are_those_of_the_rows(metrics: Metrics) -> None:
    found = await scrape(metrics)
    assert value(found, "questmill_database_up") == 1
    assert value(found, "questmill_jobs", state="running") == 2
    assert value(found, "questmill_jobs", state="failed") == 0
    assert value(found, "questmill_batches", stage="generate", state="leased") == 1
    assert value(found, "questmill_batches", stage="generate", state="expired") == 1
    assert value(found, "questmill_calls_total", model=MODEL, stage="generate", outcome="ok") == 1
    assert value(found, "questmill_calls_in_flight", model=MODEL, stage="generate") == 2
    assert value(found, "questmill_tokens_total", model=MODEL, stage="generate", direction="output") == 20
    assert value(found, "questmill_cost_usd_total", model=MODEL, stage="generate") == 0.0025
    assert value(found, "questmill_unfinished_held_usd") == 0.02
    assert value(found, "questmill_questions", state="selected") == 1
    assert value(found, "questmill_candidates_total", stage="generate") == 2
    assert value(found, "questmill_admitted_total", stage="generate") == 1
    assert value(found, "questmill_rejected_total", stage="generate", reason="exact") == 1
    assert value(found, "questmill_lease_expiries_total") == 1
    assert value(found, "questmill_fenced_writes_total") == 2
    assert value(found, "questmill_worker_calls_in_flight", worker="host:1") == 5
    assert value(found, "questmill_worker_rate_wait_seconds_total", worker="host:1") == 12.5


async def test_what_a_person_on_call_asks_is_told(engine: AsyncEngine, metrics: Metrics) -> None:
    async with engine.begin() as conn:
        waits, by_us, by_a_person, _ = [await make_hold(conn, f"asked about {each}") for each in range(4)]
    away = "UPDATE job SET created_at = now() - interval '1 hour' WHERE id = :id"
    await execute(engine, away, id=waits.job_id)
    await execute(engine, "UPDATE job_budget SET budget_usd = 10, spent_usd = 9.5 WHERE job_id = :id", id=waits.job_id)
    stop = """INSERT INTO job_cell (job_id, domain, difficulty, target, mean_tokens, stopped)
        VALUES (:id, 'math', 'easy', 1, 15, 'dry'), (:id, 'math', 'hard', 1, 750, NULL)"""
    await execute(engine, stop, id=waits.job_id)
    await pause_job(engine, by_a_person.job_id)
    assert await pause_if_running(engine, by_us.job_id, "the key is refused")
    found = await scrape(metrics)
    assert value(found, "questmill_paused_jobs", by="person") == 1
    assert value(found, "questmill_paused_jobs", by="questmill") == 1
    assert 3600 <= (value(found, "questmill_standstill_seconds", which="longest") or 0) < 3700
    assert 0 <= (value(found, "questmill_standstill_seconds", which="shortest") or 0) < 600
    assert value(found, "questmill_budget_used_ratio") == 0.95
    assert value(found, "questmill_stopped_cells") == 1
    assert value(found, "questmill_broker_up") == 1

    # A job whose batch is with a provider does not stand still.
    in_bulk = "UPDATE batch SET state = 'pending', lease_until = NULL, in_bulk = true WHERE id = :id"
    await execute(engine, in_bulk, id=waits.batch_id)
    assert (value(await scrape(metrics), "questmill_standstill_seconds", which="longest") or 0) < 600
    intend = """INSERT INTO bulk_submission (id, job_id, batch_id, provider, model, requests, created_at)
        VALUES (gen_random_uuid(), :job, :batch, 'openai', 'openai/slow', 1, now() - interval '2 hours')"""
    await execute(engine, intend, job=waits.job_id, batch=waits.batch_id)
    found = await scrape(metrics)
    assert 7200 <= (value(found, "questmill_oldest_submission_seconds", state="intended") or 0) < 7300
    assert value(found, "questmill_oldest_submission_seconds", state="submitted") == 0
    await execute(engine, "DELETE FROM dataset WHERE name LIKE 'asked about %'")


async def test_the_reconciler_is_seen_while_it_ticks(database_url: str, redis_url: str, metrics: Metrics) -> None:
    async def seen() -> float | None:
        return value(await scrape(metrics), "questmill_reconciler_seen_timestamp_seconds")

    assert await seen() is None
    settings = api_settings(database_url, redis_url, tick_seconds=0.1)
    async with engine_for(database_url, application="questmill-reconciler", pool_size=3) as engine:
        running = asyncio.create_task(Reconciler(settings, engine).run())
        times: set[float] = set()
        try:
            async with asyncio.timeout(20):
                while len(times) < 3:
                    times |= {each for each in [await seen()] if each is not None}
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    now = value(await scrape(metrics), "questmill_database_timestamp_seconds")
    assert now is not None
    assert abs(now - max(times)) < 20
    assert abs(now - time.time()) < 5


async def test_the_reconciler_is_seen_also_where_a_pooler_has_its_connections(
    database_url: str, redis_url: str, engine: AsyncEngine, metrics: Metrics
) -> None:
    # Under our own name only its session for LISTEN is left; what a pooler lends goes by whoever used it last.
    settings = api_settings(database_url, redis_url, tick_seconds=0.1)
    running = asyncio.create_task(Reconciler(settings, engine).run())
    times: set[float] = set()
    try:
        async with asyncio.timeout(20):
            while len(times) < 3:
                seen = value(await scrape(metrics), "questmill_reconciler_seen_timestamp_seconds")
                times |= {each for each in [seen] if each is not None}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_broker_that_is_away_is_told(engine: AsyncEngine) -> None:
    async def is_up() -> bool:
        return False

    async def read() -> SystemSums:
        return await read_system_sums(engine)

    metrics = Metrics(open_streams=lambda: 0, system=SystemCollector(read, is_up))
    assert value(await scrape(metrics), "questmill_broker_up") == 0


async def test_series_are_there_before_their_first_count(metrics: Metrics) -> None:
    # rate() and increase() do not see a count with which a series begins: of a first job it was most of the work.
    found = await scrape(metrics)
    for stage in map(str, Stage):
        for name in ("candidates", "admitted"):
            assert value(found, f"questmill_{name}_total", stage=stage) is not None, (name, stage)
        for state in ("done", "parked", "dropped"):
            assert value(found, "questmill_batches_ended_total", stage=stage, state=state) is not None, (stage, state)
        for state in ("pending", "in_bulk", "leased", "expired"):
            assert value(found, "questmill_batches", stage=stage, state=state) is not None, (stage, state)


async def test_calls_in_flight_fall_to_zero_and_their_money_begins_there(engine: AsyncEngine, metrics: Metrics) -> None:
    async with engine.begin() as conn:
        hold = await make_hold(conn, "answered")
        call_id = new_call_id()
        new = NewCall(hold, call_id=call_id, ordinal=0, model="openai/quick", prompt={}, worst_usd=Decimal("0.01"))
        await open_call(conn, new)

    async def in_flight() -> float | None:
        return value(await scrape(metrics), "questmill_calls_in_flight", model="openai/quick", stage="generate")

    assert await in_flight() == 1
    found, its = await scrape(metrics), {"model": "openai/quick", "stage": "generate"}
    assert value(found, "questmill_cost_usd_total", **its) == 0
    assert value(found, "questmill_tokens_total", direction="output", **its) == 0
    async with engine.begin() as conn:
        await settle_calls(conn, [Settlement(call_id, reply_of("Why?"), Decimal("0.5"))])
    assert await in_flight() == 0
    await execute(engine, "DELETE FROM dataset WHERE name = 'answered'")


@pytest.mark.usefixtures("history")
async def test_names_follow_the_conventions(metrics: Metrics) -> None:
    ours = {name: family for name, family in (await scrape(metrics)).items() if name.startswith("questmill_")}
    assert len(ours) > 25
    for name, family in ours.items():
        assert re.fullmatch(r"[a-z][a-z_]*", name), name
        assert family.documentation.endswith("."), name
        assert family.type in {"counter", "gauge", "histogram"}, name
        # promtool: a counter's sample ends in _total, nothing else does; units are whole words at the end.
        if family.type == "counter":
            assert {each.name for each in family.samples} <= {f"{name}_total", f"{name}_created"}
        else:
            assert not name.endswith(("_total", "_count", "_sum", "_bucket")), name
        labels = {key for each in family.samples for key in each.labels}
        assert not labels & {"job", "instance", "job_id", "dataset"}, name  # Prometheus's own, and endless ones


@pytest.mark.usefixtures("history")
async def test_the_alerts_name_what_there_is(metrics: Metrics, seen_reconciler: None) -> None:
    labels = await read_labels(metrics)
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) > 15
    for rule in rules:
        check_query(rule["expr"], labels)


@pytest.mark.usefixtures("history")
async def test_the_dashboard_and_the_documents_name_what_there_is(metrics: Metrics, seen_reconciler: None) -> None:
    labels = await read_labels(metrics)
    dashboard = json.loads((ROOT / "docs/grafana/questmill.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 30
    for query in queries:
        check_query(query, labels)
    shown = {name for query in queries for name in re.findall(r"questmill_\w+", query)}
    ours = {name for name in labels if name.startswith("questmill_") and not name.endswith("_created")}
    assert shown == ours

    table = (ROOT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"`(questmill_[a-z_]+)`", table.split("## Worth an alert")[0]))
    assert documented == {name.removesuffix("_bucket") for name in ours}


@pytest.mark.usefixtures("history")
async def test_a_counter_does_not_fall_when_a_dataset_is_deleted(engine: AsyncEngine, metrics: Metrics) -> None:
    async with engine.begin() as conn:
        hold = await make_hold(conn, "short-lived")
        call_id = new_call_id()
        new = NewCall(hold, call_id=call_id, ordinal=0, model="openai/short", prompt={}, worst_usd=Decimal("0.01"))
        await open_call(conn, new)
        await settle_calls(conn, [Settlement(call_id, reply_of("Why?"), Decimal("0.5"))])

    async def cost() -> float | None:
        return value(await scrape(metrics), "questmill_cost_usd_total", model="openai/short", stage="generate")

    assert await cost() == 0.5
    # The sum itself falls: as when a lost call turns out to have cost less.
    await execute(engine, "UPDATE call SET cost_usd = 0.2 WHERE id = :id", id=call_id)
    assert await cost() == 0.5
    await execute(engine, "UPDATE call SET cost_usd = 0.3 WHERE id = :id", id=call_id)
    assert await cost() == pytest.approx(0.6)
    await execute(engine, "DELETE FROM dataset WHERE name = 'short-lived'")


async def test_readings_are_shared_by_all_who_scrape(engine: AsyncEngine) -> None:
    read = 0

    async def count() -> SystemSums:
        nonlocal read
        read += 1
        return await read_system_sums(engine)

    metrics = Metrics(open_streams=lambda: 0, system=SystemCollector(count, is_up))
    for _ in range(5):
        await metrics.render()
    assert read == 1


def test_without_a_database_the_process_is_scraped_all_the_same(redis_url: str) -> None:
    nowhere = "postgresql://questmill@127.0.0.1:9/questmill"
    with serving(api_settings(nowhere, redis_url)) as url:
        started = time.monotonic()
        reply = httpx2.get(f"{url}/metrics", timeout=10)
        assert time.monotonic() - started < 6
    assert reply.status_code == 200
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    assert value(families, "questmill_database_up") == 0
    assert "questmill_jobs" not in families
    assert "process_cpu_seconds" in families


def test_with_keys_and_without_a_database_no_more_is_told_than_to_everybody(redis_url: str) -> None:
    nowhere = "postgresql://questmill@127.0.0.1:9/questmill"
    with serving(api_settings(nowhere, redis_url, require_keys=True)) as url, httpx2.Client(base_url=url) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": "Bearer guessed"}).status_code == 401
        headers = {"Authorization": f"Bearer qm_{'a' * 43}"}
        assert client.get("/v1/jobs", headers=headers).status_code == 503
        reply = client.get("/metrics", headers=headers, timeout=10)
    assert reply.status_code == 200
    samples = [each for family in text_string_to_metric_families(reply.text) for each in family.samples]
    assert {each.name: each.value for each in samples} == {"questmill_database_up": 0, "questmill_broker_up": 1}


async def test_a_worker_that_fell_silent_is_not_shown(engine: AsyncEngine, metrics: Metrics) -> None:
    async with engine.begin() as conn:
        await make_dataset(conn, "any")
        await report_worker(conn, WorkerReport("gone:1", 0, 0, 1, 0, 0, 0))
    await execute(engine, "UPDATE worker_report SET seen_at = now() - interval '2 min' WHERE name = 'gone:1'")
    found = await scrape(metrics)
    assert value(found, "questmill_worker_calls_in_flight", worker="gone:1") is None
