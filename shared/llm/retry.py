"""The one retry policy: what follows a call that gave nothing usable. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from shared.llm.provider import Outcome

# Outcomes that no repetition mends, with what a person should know; they stop the job, not just the prompt.
STOPS_JOB = {
    Outcome.QUOTA: "the provider says that the account's quota or credit is used up",
    Outcome.UNAUTHORISED: "the provider refused the key",
    Outcome.UNKNOWN_MODEL: "the provider does not know the model",
}
# Outcomes of the prompt itself: the same prompt would end the same way.
GIVES_UP = {
    Outcome.BAD_REQUEST: "the provider refused the request",
    Outcome.REFUSED: "the model declined to answer",
    Outcome.NO_ROOM: "the output limit was used up before any text",
}
# A useless reply that was paid for is worth one more try, not six.
PAID_ATTEMPTS = 2
# Being told to wait, or not having been run at all, is no fault of the prompt, so it may happen more often before the
# prompt is given up.
THROTTLED_FACTOR = 5


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently. `attempts` counts all attempts of a prompt in which the provider failed."""

    attempts: int
    base_seconds: float = 1.0
    longest_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the prompt again, not before `after_seconds` have passed."""

    after_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave this prompt; the deficit it leaves gets another."""

    reason: str


@dataclass(frozen=True, slots=True)
class StopJob:
    """Pause the job with this reason: no prompt would fare better until a person acts."""

    reason: str


Verdict = Retry | GiveUp | StopJob


def decide(
    outcome: Outcome, *, attempt: int, retry_after_seconds: float | None, policy: RetryPolicy, rng: Random
) -> Verdict:
    """What follows the prompt's `attempt`-th attempt (from 1) that ended like this.

    Throttled attempts are counted apart from failed ones. The wait grows twofold from `base_seconds`, half of it
    drawn by `rng`, and is never shorter than Retry-After.
    """
    if outcome in STOPS_JOB:
        return StopJob(STOPS_JOB[outcome])
    if outcome in GIVES_UP:
        return GiveUp(GIVES_UP[outcome])
    if attempt >= allowed_attempts(outcome, policy):
        return GiveUp(f"{outcome} {attempt} times")
    backoff = min(policy.longest_seconds, policy.base_seconds * 2.0 ** min(attempt - 1, 30))
    wait = backoff * rng.uniform(0.5, 1.0)
    if retry_after_seconds is not None:
        wait = max(wait, retry_after_seconds)
    return Retry(wait, outcome)


def judge_attempts(outcomes: Sequence[Outcome], policy: RetryPolicy) -> GiveUp | None:
    """Whether a prompt is given up whose attempts ended like this, none of them usable; otherwise it goes again.

    What stops the job was acted on when it was seen, and a person has resumed the job since.
    """
    last = outcomes[-1]
    if last in GIVES_UP:
        return GiveUp(GIVES_UP[last])
    alike = sum(_kind(each) == _kind(last) for each in outcomes)
    return GiveUp(f"{last} {alike} times") if alike >= allowed_attempts(last, policy) else None


def _kind(outcome: Outcome) -> tuple[bool, bool]:
    """Attempts that were throttled, or never run, are counted apart from those that failed."""
    return outcome.throttled, outcome.never_run


def allowed_attempts(outcome: Outcome, policy: RetryPolicy) -> int:
    """How many attempts may end like this before the prompt is given up."""
    if outcome.throttled or outcome.never_run:
        return policy.attempts * THROTTLED_FACTOR
    if outcome in {Outcome.EMPTY, Outcome.MALFORMED}:
        return min(policy.attempts, PAID_ATTEMPTS)
    return policy.attempts
