"""One trace from the request that posts a job to each of its calls, in whatever process; and what logs name."""

import logging
from collections.abc import AsyncIterator, Iterator
from io import StringIO

import httpx2
import orjson
import pytest
import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import BatchId, JobId
from shared.jobs.reconcile import limits_of
from shared.llm.caller import Caller
from shared.llm.limiter import open_limiter_redis
from shared.llm.provider import LLMReply, LLMRequest, Outcome
from shared.llm.stop import Stop
from shared.settings import RateLimit, Settings
from shared.tracing import use_tracer
from tests.service.api.serving import serving
from tests.service.jobs.world import Broker, fetch, first_batch, make_spec, submit
from tests.service.workers.scripted import new_question, reply_of
from tests.tracer import RememberingTracer
from workers.admitter import Admitter
from workers.batch import Ending, Workshop, run_batch
from workers.leases import LeaseKeeper
from workers.logs import configure_logs
from workers.other_keys import OtherKeys
from workers.reconciler import Reconciler

MODEL = "openai/gpt-6-luna"
OURS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Answers:
    """A provider whose first answer is a refusal."""

    name = "openai"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def complete(self, request: LLMRequest) -> LLMReply:
        self.asked.append(str(request.call_id))
        if len(self.asked) == 1:
            return LLMReply(Outcome.BAD_REQUEST, detail="no", http_status=400)
        return reply_of(new_question())

    async def close(self) -> None:
        pass


@pytest.fixture
def provider() -> Answers:
    return Answers()


@pytest.fixture
async def real_shop(
    engine: AsyncEngine, settings: Settings, redis_url: str, provider: Answers
) -> AsyncIterator[Workshop]:
    """A process's workshop with the real caller."""
    fast = RateLimit(requests_per_minute=600_000, tokens_per_minute=6_000_000_000)
    settings = settings.model_copy(update={"rate_limits": {MODEL: fast}})
    redis: Redis = open_limiter_redis(redis_url)
    caller = Caller(settings, engine, redis, {"openai": provider})
    leases, admitter = LeaseKeeper(engine, 60), Admitter(engine, template_cap=5)
    yield Workshop(
        settings=settings,
        engine=engine,
        caller=caller,
        leases=leases,
        admitter=admitter,
        name="a test",
        other_keys=OtherKeys(),
    )
    await caller.close()
    await redis.aclose()


@pytest.fixture
def tracer() -> Iterator[RememberingTracer]:
    remembering = RememberingTracer()
    put_back = use_tracer(remembering)
    yield remembering
    put_back()


async def test_a_request_its_batches_and_their_calls_are_one_trace(
    engine: AsyncEngine, real_shop: Workshop, provider: Answers, tracer: RememberingTracer, dataset: str
) -> None:
    spec = make_spec(dataset).model_dump(mode="json", exclude_none=True)
    with serving(real_shop.settings) as url:
        reply = httpx2.post(f"{url}/v1/jobs", json=spec, headers={"traceparent": OURS}, timeout=20)
        assert reply.status_code == 202
        httpx2.get(f"{url}/healthz")
    job_id = JobId(reply.json()["id"])
    assert await run_batch(real_shop, await first_batch(engine, job_id), Stop()) is Ending.DONE

    [request] = tracer.spans[:1]
    assert (request.name, request.serves, request.parent_id) == ("POST /v1/jobs", True, "00f067aa0ba902b7")
    assert (request.attributes["route"], request.attributes["status"]) == ("/v1/jobs", 202)
    assert await fetch(engine, "SELECT traceparent FROM job WHERE id = :id", id=job_id) == [(request.traceparent,)]
    [batch] = tracer.named("batch ")
    assert (batch.name, batch.parent_id, batch.attributes["ending"]) == ("batch generate", request.id, "done")
    calls = tracer.named("call ")
    assert {each.parent_id for each in calls} == {batch.id}
    assert {each.trace_id for each in tracer.spans} == {OURS.split("-")[1]}
    # As the ledger knows them.
    assert [each.attributes["call"] for each in calls if each.failure] == provider.asked[:1]
    assert {each.attributes["call"] for each in calls} == set(provider.asked)
    assert all(each.ended for each in tracer.spans)


async def test_without_a_tracer_nothing_is_kept(engine: AsyncEngine, settings: Settings, dataset: str) -> None:
    job_id = await submit(engine, settings, make_spec(dataset))
    assert await fetch(engine, "SELECT traceparent FROM job WHERE id = :id", id=job_id) == [(None,)]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What a process with QUESTMILL_LOG_JSON writes."""
    root = logging.getLogger()
    handlers, level, written = root.handlers[:], root.level, StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logs(Settings(log_json=True, log_level="DEBUG"))
    # A cached logger would stay with this test's settings.
    structlog.configure(**{**structlog.get_config(), "cache_logger_on_first_use": False})
    yield written
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def read(lines: StringIO) -> list[dict[str, object]]:
    """Each line alone is JSON."""
    return [orjson.loads(line) for line in lines.getvalue().splitlines()]


async def test_a_workers_lines_name_job_batch_and_call(
    engine: AsyncEngine, real_shop: Workshop, provider: Answers, job_id: JobId, lines: StringIO
) -> None:
    batch_id: BatchId = await first_batch(engine, job_id)
    await run_batch(real_shop, batch_id, Stop())
    written = read(lines)
    ours = [line for line in written if line.get("job") == str(job_id)]
    settled = [line for line in ours if line["event"] == "call settled"]
    assert {line["call"] for line in settled} == set(provider.asked)
    assert all(line["batch_id"] == str(batch_id) and line["level"] == "debug" for line in settled)
    [given_up] = [line for line in ours if line["event"] == "prompt given up"]
    assert given_up["call"] == provider.asked[0]
    [ended] = [line for line in ours if line["event"] == "batch ended"]
    assert (ended["ending"], ended["stage"], "call" in ended) == ("done", "generate", False)
    assert {"timestamp", "level", "batch"} <= ended.keys()


async def test_a_reconcilers_lines_name_the_job_also_when_it_fails(
    engine: AsyncEngine,
    settings: Settings,
    broker: Broker,
    job_id: JobId,
    lines: StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(*_: object) -> int:
        raise ValueError("two\nlines")

    monkeypatch.setattr("workers.reconciler.reconcile_job", fails)
    reconciler = Reconciler(settings, engine, broker.publish)
    await reconciler._reconcile(job_id, limits_of(settings))
    [failed] = [line for line in read(lines) if line["event"] == "job not reconciled"]
    assert failed["job"] == str(job_id)
    assert "two\nlines" in str(failed["exception"])
