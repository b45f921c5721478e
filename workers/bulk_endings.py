"""How bulk submissions end: results settled, intents withdrawn, refusals noted, jobs paused."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.reconnect import in_transaction, until_reachable
from shared.database.states import SubmissionState
from shared.ids import CallId, JobId
from shared.jobs.control import pause_if_running
from shared.jobs.submissions import Submission, end_submission, read_calls, read_enqueued_beside
from shared.llm.bulk import BulkProblem, BulkProvider, BulkStatus
from shared.llm.ledger import Settlement, settle_calls
from shared.llm.prices import cost_of
from shared.llm.provider import Outcome
from shared.llm.retry import GIVES_UP, STOPS_JOB
from workers.batch import Workshop

log = structlog.get_logger()
T = TypeVar("T")

SETTLED_TOGETHER = 200
# What has ended may count as enqueued so many settling times longer.
LAG_FACTOR = 10


class Endings:
    """Writes what became of submissions, through a database that may be away for a while."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop

    async def settle(self, provider: BulkProvider, submission: Submission, status: BulkStatus) -> None:
        """Settle each call by its result, in whatever order these come; repeated whole if it breaks off."""
        async with self._shop.engine.connect() as conn:
            calls = await read_calls(conn, submission.id)
        group: dict[CallId, Settlement] = {}
        stops: set[Outcome] = set()
        async with aclosing(provider.results(status.provider_id)) as results:
            async for call_id, reply in results:
                call = calls.get(call_id)
                if call is None:
                    log.warning("a result of no call of ours", id=str(submission.id), call=str(call_id))
                    continue
                if reply.outcome in STOPS_JOB:
                    stops.add(reply.outcome)
                if not call.is_settled:
                    cost_usd = cost_of(call.model, reply, call.worst_usd, self._shop.settings.prices, bulk=True)
                    group[call_id] = Settlement(call_id, reply, cost_usd)
                if len(group) >= SETTLED_TOGETHER:
                    await self._settle_group(group)
        await self._settle_group(group)
        never = Outcome.CANCELLED if submission.cancel_asked_at else Outcome.EXPIRED
        for outcome in stops:
            await self.pause_job(submission.job_id, STOPS_JOB[outcome])
        why = "it is not among the results of its submission"
        await self._end(submission, SubmissionState.ENDED, status.detail, rest=never, why=why)

    async def _settle_group(self, group: dict[CallId, Settlement]) -> None:
        settlements = list(group.values())
        group.clear()
        if settlements:
            await self._transaction(lambda conn: settle_calls(conn, settlements), what="settle results")

    async def withdraw(self, submission: Submission, why: str) -> None:
        """The provider does not have it: its calls cost nothing, and its batch intends anew."""
        log.info("bulk submission withdrawn", id=str(submission.id), why=why)
        await self._end(submission, SubmissionState.WITHDRAWN, why, rest=Outcome.CANCELLED, why=why)

    async def refuse(self, submission: Submission, problem: BulkProblem) -> None:
        """The provider runs nothing of it; a problem that passes by itself changes nothing."""
        if problem.outcome in STOPS_JOB:
            await self.withdraw(submission, problem.detail)
            await self.pause_job(submission.job_id, STOPS_JOB[problem.outcome])
        elif problem.outcome in GIVES_UP:
            await self.fail(submission, problem.detail, Outcome.CANCELLED)

    async def turn_away(self, submission: Submission, problem: BulkProblem) -> None:
        """Too much of its model is enqueued; with nothing else of ours it may be too large, which no wait mends."""
        log.warning("no room for a bulk submission", model=submission.model, detail=problem.detail)
        lag_seconds, rehearsal = LAG_FACTOR * self._shop.settings.bulk_settle_seconds, self._shop.settings.rehearsal
        async with self._shop.engine.connect() as conn:
            waits_for_ours = await read_enqueued_beside(
                conn, submission.id, lag_seconds=lag_seconds, rehearsal=rehearsal
            )
        if waits_for_ours:
            await self.withdraw(submission, problem.detail)
        else:
            await self.fail(submission, problem.detail, Outcome.CANCELLED)

    async def fail(self, submission: Submission, why: str, outcome: Outcome) -> None:
        """It is refused as a whole, or gone; its calls end with `outcome`."""
        log.warning("bulk submission failed", id=str(submission.id), why=why)
        await self._end(submission, SubmissionState.FAILED, why, rest=outcome, why=why)

    async def _end(
        self, submission: Submission, state: SubmissionState, detail: str | None, *, rest: Outcome, why: str
    ) -> None:
        async def end(conn: AsyncConnection) -> bool:
            return await end_submission(conn, submission, state, detail, rest=rest, why=why)

        is_over = await self._transaction(end, what="end submission")
        log.info("bulk submission over", id=str(submission.id), state=state, by_another_keeper=not is_over)

    async def pause_job(self, job_id: JobId, reason: str, *, by_budget: bool = False) -> None:
        """What a person must act on before anything more is submitted."""

        async def pause() -> bool:
            return await pause_if_running(self._shop.engine, job_id, reason, by_budget=by_budget)

        await until_reachable(pause, what="pause job")

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]], *, what: str) -> T:
        return await in_transaction(self._shop.engine, work, what=what)
