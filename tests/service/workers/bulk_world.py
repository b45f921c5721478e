"""Jobs in bulk mode against a rehearsal server in the test process: the reconciler, workers and the keeper by hand."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import JobId
from shared.jobs.progress import read_job
from shared.llm.bulk import BulkProblem, BulkProvider, BulkStatus
from shared.llm.bulk_anthropic import AnthropicBulkProvider
from shared.llm.bulk_openai import OpenAIBulkProvider
from shared.llm.caller import Caller
from shared.llm.provider import LLMRequest
from shared.llm.stop import Stop
from shared.settings import Settings
from tests.service.jobs.world import Broker, fetch, make_spec, submit, tick
from tests.service.local.rehearsal_client import Served
from workers.admitter import Admitter
from workers.batch import Workshop, run_batch
from workers.bulk_keeper import BulkKeeper
from workers.bulk_lock import KeeperLock
from workers.leases import LeaseKeeper
from workers.other_keys import OtherKeys

BOTH = {"easy": {"token_share": 0.4, "mean_tokens": 15}, "hard": {"token_share": 0.6, "mean_tokens": 120}}
MODELS = {
    "generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"},
    "validate": {"easy": "anthropic/claude-haiku-5-5", "hard": "openai/gpt-6-luna"},
    "answer": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-sonnet-5-5"},
}
ALL = ["generate", "validate", "answer"]


class AlwaysHeld:
    """A lock that nobody takes."""

    async def confirm(self) -> None:
        return None


LOCK = cast("KeeperLock", AlwaysHeld())


class Crash(BaseException):
    """The keeper's process is gone."""


class Meddling:
    """A provider with something in its way; its methods are what tests replace."""

    def __init__(self, real: BulkProvider) -> None:
        self._real = real
        self.name = real.name
        self.submit = real.submit
        self.look = real.look
        self.find = real.find
        self.results = real.results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def crash_after_submit(self) -> None:
        """Once, right between the provider's yes and our knowing it."""

        async def submit(submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:
            self.submit = self._real.submit
            await self._real.submit(submission_id, requests)
            raise Crash

        self.submit = submit

    def crash_before_submit(self) -> None:
        """Once, when the provider may already have it for all that the rows say."""

        async def submit(submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:
            self.submit = self._real.submit
            raise Crash

        self.submit = submit

    def refuse(self, *problems: BulkProblem) -> None:
        """Say no so many times."""
        left = list(problems)

        async def submit(submission_id: UUID, requests: Sequence[LLMRequest]) -> BulkStatus:
            if left:
                raise left.pop(0)
            return await self._real.submit(submission_id, requests)

        self.submit = submit


@dataclass
class BulkWorld:
    """One database, one rehearsal server, one keeper."""

    engine: AsyncEngine
    settings: Settings
    server: Served
    shop: Workshop
    providers: dict[str, BulkProvider]
    broker: Broker = field(default_factory=Broker)

    def __post_init__(self) -> None:
        self.keeper = self.new_keeper()

    def meddle(self, name: str) -> Meddling:
        """Put something in the way of a provider."""
        meddling = Meddling(self.providers[name])
        self.providers[name] = cast("BulkProvider", meddling)
        return meddling

    def new_keeper(self) -> BulkKeeper:
        """As in a process that has just started: it remembers nothing."""
        return BulkKeeper(self.shop, self.providers)

    async def submit(self, dataset: str, **changes: Any) -> JobId:
        """A job of two cells on both providers."""
        mix = {"domains": {"math": 60}, "difficulties": BOTH} | changes.pop("mix", {})
        models = {
            stage: {name: model for name, model in named.items() if name in mix["difficulties"]}
            for stage, named in MODELS.items()
        }
        spec = make_spec(dataset, **{"mix": mix, "mode": "bulk", "models": models, "stages": ALL} | changes)
        return await submit(self.engine, self.settings, spec)

    async def keep(self) -> None:
        """One round of the keeper."""
        await self.keeper.run_once(LOCK)

    async def work(self, job_id: JobId) -> None:
        """Reconcile, and run what is hinted."""
        await tick(self.engine, job_id, self.broker)
        for batch_id in self.broker.take():
            await run_batch(self.shop, batch_id, Stop())

    async def run_to_end(self, job_id: JobId, *, rounds: int = 200) -> dict[str, Any]:
        """All of them in turn until the job rests; the job as people see it."""
        for _ in range(rounds):
            await self.work(job_id)
            await self.keep()
            job = await read_job(self.engine, job_id)
            if job["state"] != "running":
                return job
            await asyncio.sleep(0.01)  # the server's turn
        raise AssertionError(f"still running: {job['progress']} {await self.submissions(job_id)}")

    async def run_until_over(self, job_id: JobId, *, rounds: int = 200) -> None:
        """Rounds of the keeper alone until no submission of the job is unfinished."""
        for _ in range(rounds):
            await self.keep()
            if not {"intended", "submitted"} & {each["state"] for each in await self.submissions(job_id)}:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not over: {await self.submissions(job_id)}")

    async def submissions(self, job_id: JobId) -> list[dict[str, Any]]:
        """Their rows, in order."""
        rows = await fetch(
            self.engine,
            "SELECT row_to_json(s) FROM bulk_submission AS s WHERE job_id = :id ORDER BY id",
            id=job_id,
        )
        return [row for (row,) in rows]

    async def calls(self, job_id: JobId) -> list[dict[str, Any]]:
        """The ledger of a job."""
        rows = await fetch(
            self.engine,
            "SELECT row_to_json(c) FROM (SELECT * FROM call WHERE job_id = :id ORDER BY id) AS c",
            id=job_id,
        )
        return [row for (row,) in rows]

    async def money(self, job_id: JobId) -> dict[str, Any]:
        """What is budgeted, spent, held and in the ledger."""
        [(row,)] = await fetch(
            self.engine,
            """SELECT row_to_json(m) FROM (
                   SELECT budget_usd::text, spent_usd::text, held_usd::text, (
                       SELECT COALESCE(sum(cost_usd), 0)::text FROM call WHERE job_id = :id) AS ledger_usd
                   FROM job_budget WHERE job_id = :id) AS m""",
            id=job_id,
        )
        return cast("dict[str, Any]", row)

    async def at_provider(self, job_id: JobId) -> list[dict[str, Any]]:
        """The provider's own list, of the submissions that hold calls of this job."""
        ours = {call["id"] for call in await self.calls(job_id)}
        listed = (await self.server.get("/rehearsal/bulk"))["submissions"]
        return [each for each in listed if ours & set(each["requests"])]

    async def check(self, job_id: JobId) -> None:
        """Every call settled once and handed in at most once; the money adds up, and nothing is held."""
        money = await self.money(job_id)
        assert money["spent_usd"] == money["ledger_usd"]
        assert float(money["held_usd"]) == 0
        calls = await self.calls(job_id)
        assert [call for call in calls if call["state"] == "sent"] == []
        handed_in = Counter(each for listed in await self.at_provider(job_id) for each in listed["requests"])
        assert [each for each, count in handed_in.items() if count > 1] == []
        assert {call["id"] for call in calls if call["state"] == "ok"} <= set(handed_in)


@asynccontextmanager
async def opened(engine: AsyncEngine, settings: Settings, server: Served) -> AsyncIterator[BulkWorld]:
    """A world whose providers are the rehearsal server."""
    providers: Mapping[str, BulkProvider] = {
        "openai": OpenAIBulkProvider("sk", f"{server.url}/v1"),
        "anthropic": AnthropicBulkProvider("sk", server.url),
    }
    shop = Workshop(
        settings=settings,
        engine=engine,
        caller=cast("Caller", None),  # a batch in bulk calls nobody
        leases=LeaseKeeper(engine, settings.lease_seconds),
        admitter=Admitter(engine, template_cap=settings.template_cap),
        name="a test",
        other_keys=OtherKeys(told_since=-math.inf),
    )
    try:
        yield BulkWorld(engine, settings, server, shop, dict(providers))
    finally:
        for provider in providers.values():
            await provider.close()
