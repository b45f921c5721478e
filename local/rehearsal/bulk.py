"""Bulk submissions: requests handed in together, answered in their own time, and fetched as a whole."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from local.rehearsal.ask import read_ask
from local.rehearsal.config import RehearsalConfig
from local.rehearsal.faults import Fault
from local.rehearsal.record import Entry
from local.rehearsal.server import ENDINGS, TROUBLES, Rehearsal
from local.rehearsal.wire import Asked, BadRequest, Made, Trouble, Wire

# The faults of a network or a busy hour are the provider's own affair inside a bulk submission.
_FELT = frozenset({Fault.CUT, Fault.BROKEN, Fault.LATEX, Fault.POOR, Fault.REFUSAL, Fault.FILTER, *TROUBLES})
_SHORTEST_WAIT_SECONDS = 0.001


class Stage(StrEnum):
    """Where a submission is."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    ENDED = "ended"
    FAILED = "failed"
    """Refused as a whole; none of its requests was run."""


class Ended(StrEnum):
    """How one request of a submission ended, in Anthropic's words."""

    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """One request: `body` is what a single call would post."""

    custom_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of one request: the status and body of a single call; both empty when it was never run."""

    custom_id: str
    ended: Ended
    request_id: str
    status: int = 0
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a submission failed; `line` counts from 1."""

    code: str
    message: str
    line: int | None = None


@dataclass(slots=True)
class Submission:
    """One bulk submission. Times are Unix times; `extras` is what one format alone keeps of it.

    `on_end` is called once, when its results are there.
    """

    id: str
    wire: Wire
    requests: Sequence[BulkRequest]
    extras: dict[str, Any]
    problems: Sequence[Problem] = ()
    on_end: Callable[["Submission"], None] | None = None
    created: float = field(default_factory=time.time)
    stage: Stage = Stage.VALIDATING
    results: list[BulkResult] = field(default_factory=list)
    cancel_asked: float | None = None
    ended: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing about it will change any more."""
        return self.stage in {Stage.ENDED, Stage.FAILED}

    def count(self, *kinds: Ended) -> int:
        """How many of its requests ended so."""
        return sum(result.ended in kinds for result in self.results)


@dataclass(slots=True)
class BulkSettings:
    """How submissions fare; the counts are of the next ones, and `lose_next` are taken, but their answer is lost.

    `enqueued_tokens` is the most that may be enqueued of a model, 0 for any number: OpenAI has such a limit.
    """

    seconds: float
    error_share: float = 0.0
    expire_share: float = 0.0
    fail_next: int = 0
    lose_next: int = 0
    enqueued_tokens: int = 0


class BulkDesk:
    """Takes submissions and works on them; lives on the server's event loop."""

    def __init__(self, rehearsal: Rehearsal, config: RehearsalConfig) -> None:
        self.settings = BulkSettings(config.bulk_seconds, config.bulk_error_share, config.bulk_expire_share)
        self.submissions: dict[str, Submission] = {}
        self._rehearsal = rehearsal
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._released = asyncio.Event()
        self._released.set()

    def hold(self, *, held: bool) -> None:
        """Stop all work on submissions, or let it go on."""
        (self._released.clear if held else self._released.set)()

    @property
    def is_held(self) -> bool:
        """Whether all submissions stay as they are."""
        return not self._released.is_set()

    def submit(
        self,
        prefix: str,
        wire: Wire,
        requests: Sequence[BulkRequest],
        problems: Sequence[Problem] = (),
        on_end: Callable[[Submission], None] | None = None,
        **extras: object,
    ) -> Submission:
        """Take a submission and begin with it; with problems it fails as a whole."""
        # Random, not seeded: a server started anew must not give out the ids of the one before.
        submission_id = f"{prefix}_{secrets.token_hex(12)}"
        submission = Submission(submission_id, wire, requests, extras, problems, on_end)
        self.submissions[submission.id] = submission
        self._tasks[submission.id] = asyncio.create_task(self._work_on(submission))
        return submission

    def of(self, wire: Wire) -> list[Submission]:
        """A provider's submissions, newest first."""
        return [each for each in reversed(self.submissions.values()) if each.wire.name == wire.name]

    def cancel(self, submission: Submission) -> None:
        """Run no further request of it: it ends a moment later."""
        if submission.cancel_asked is None:
            submission.cancel_asked = time.time()
            self._tasks[submission.id].cancel()

    async def close(self) -> None:
        """Drop all work."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _work_on(self, submission: Submission) -> None:
        random = self._rehearsal.random()
        with suppress(asyncio.CancelledError):
            await self._answer_all(submission)
        if submission.stage is not Stage.FAILED:
            answered = {result.custom_id for result in submission.results}
            for request in submission.requests:
                if request.custom_id not in answered:
                    submission.results.append(BulkResult(request.custom_id, Ended.CANCELED, _request_id(random)))
            random.shuffle(submission.results)
            submission.stage = Stage.ENDED
        submission.ended = time.time()
        if submission.on_end is not None:
            submission.on_end(submission)

    async def _answer_all(self, submission: Submission) -> None:
        await self._until(0.0)
        if submission.problems:
            submission.stage = Stage.FAILED
            return
        submission.stage = Stage.IN_PROGRESS
        loop = asyncio.get_running_loop()
        started, seconds, count = loop.time(), self.settings.seconds, len(submission.requests)
        for place, request in enumerate(submission.requests):
            await self._until(started + seconds * place / count)
            submission.results.append(self._answer(submission, request))
        await self._until(started + seconds)
        submission.stage = Stage.FINALIZING
        await self._until(0.0)

    async def _until(self, at: float) -> None:
        """Wait for that time of the loop, and for the release of a hold; others have a turn in any case."""
        wait = at - asyncio.get_running_loop().time()
        await asyncio.sleep(wait if wait > _SHORTEST_WAIT_SECONDS else 0)
        await self._released.wait()

    def _answer(self, submission: Submission, request: BulkRequest) -> BulkResult:
        rehearsal, wire = self._rehearsal, submission.wire
        random = rehearsal.random()
        run = _Run(submission, request, _request_id(random))
        chance = random.random()
        if chance < self.settings.expire_share:
            return run.result(Ended.EXPIRED)
        try:
            asked = wire.read(request.body)
        except BadRequest as error:
            return self._refuse(run, (Trouble.BAD_REQUEST, str(error)), "400")
        run.asked = asked
        errs = chance < self.settings.expire_share + self.settings.error_share
        fault = Fault.SERVER_ERROR if errs else rehearsal.faults.draw(random)
        if fault in TROUBLES:
            return self._refuse(run, TROUBLES[fault], fault)
        fault = fault if fault in _FELT else None
        made = rehearsal.reply(asked, read_ask(asked.user), fault, random)
        self._note(run, 200, fault or ENDINGS[made.ending], made)
        return run.result(Ended.SUCCEEDED, 200, wire.answer(asked, made, run.request_id))

    def _refuse(self, run: "_Run", trouble: tuple[Trouble, str], outcome: str) -> BulkResult:
        status, body = run.submission.wire.trouble(*trouble, run.request_id)
        self._note(run, status, outcome)
        return run.result(Ended.ERRORED, status, body)

    def _note(self, run: "_Run", status: int, outcome: str, made: Made | None = None) -> None:
        record, submission = self._rehearsal.record, run.submission
        record.add(
            Entry(
                seq=record.next_seq,
                id=run.request.custom_id,
                provider=submission.wire.name,
                model=run.asked.model if run.asked else "",
                status=status,
                outcome=outcome,
                input_tokens=run.asked.input_tokens if run.asked and made else 0,
                output_tokens=made.output_tokens if made else 0,
                billed=made is not None,
                delivered=True,  # it can be fetched for as long as the server lives
                retry_after=None,
                started=submission.created,
                time=time.time(),
                planted=made.planted if made else (),
                bulk=submission.id,
            )
        )


@dataclass(slots=True)
class _Run:
    """One request at work; `asked` is None as long as it was not understood."""

    submission: Submission
    request: BulkRequest
    request_id: str
    asked: Asked | None = None

    def result(self, ended: Ended, status: int = 0, body: bytes = b"") -> BulkResult:
        return BulkResult(self.request.custom_id, ended, self.request_id, status, body)


def _request_id(random: Random) -> str:
    return f"req_{random.getrandbits(96):024x}"
