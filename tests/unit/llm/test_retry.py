from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.llm.provider import Outcome
from shared.llm.retry import GiveUp, Retry, RetryPolicy, StopJob, Verdict, allowed_attempts, decide, judge_attempts

POLICY = RetryPolicy(attempts=6)
PASSING = [
    Outcome.EMPTY,
    Outcome.MALFORMED,
    Outcome.RATE_LIMITED,
    Outcome.OVERLOADED,
    Outcome.SERVER_ERROR,
    Outcome.TIMEOUT,
    Outcome.CONNECTION,
    Outcome.UNREACHABLE,
    Outcome.EXPIRED,
    Outcome.CANCELLED,
]


def decided(outcome: Outcome, attempt: int = 1, retry_after: float | None = None, seed: int = 0) -> Verdict:
    return decide(outcome, attempt=attempt, retry_after_seconds=retry_after, policy=POLICY, rng=Random(seed))


@pytest.mark.parametrize("outcome", [Outcome.QUOTA, Outcome.UNAUTHORISED, Outcome.UNKNOWN_MODEL])
def test_what_needs_a_person_stops_the_job(outcome: Outcome) -> None:
    verdict = decided(outcome, retry_after=1)
    assert isinstance(verdict, StopJob)
    assert verdict.reason


@pytest.mark.parametrize("outcome", [Outcome.BAD_REQUEST, Outcome.REFUSED])
def test_fault_of_the_prompt_gives_it_up_at_once(outcome: Outcome) -> None:
    assert isinstance(decided(outcome), GiveUp)


@pytest.mark.parametrize("outcome", PASSING)
def test_passing_fault_is_retried_until_its_attempts_are_used(outcome: Outcome) -> None:
    allowed = allowed_attempts(outcome, POLICY)
    assert allowed >= 2
    assert isinstance(decided(outcome, allowed - 1), Retry)
    assert isinstance(decided(outcome, allowed), GiveUp)


def test_paid_but_useless_replies_are_not_bought_six_times() -> None:
    assert allowed_attempts(Outcome.EMPTY, POLICY) == 2
    assert allowed_attempts(Outcome.MALFORMED, POLICY) == 2


@pytest.mark.parametrize("outcome", [Outcome.EXPIRED, Outcome.CANCELLED])
def test_what_was_never_run_is_free_and_no_fault_of_the_prompt(outcome: Outcome) -> None:
    assert {outcome.usable, outcome.maybe_paid, outcome.throttled} == {False}
    assert allowed_attempts(outcome, POLICY) > allowed_attempts(Outcome.SERVER_ERROR, POLICY)


@given(st.sampled_from(PASSING), st.integers(1, 10_000), st.none() | st.floats(0, 86_400), st.integers())
def test_no_retry_before_retry_after_nor_later_than_the_longest_wait(
    outcome: Outcome, attempt: int, retry_after: float | None, seed: int
) -> None:
    verdict = decided(outcome, attempt, retry_after, seed)
    if isinstance(verdict, Retry):
        assert verdict.after_seconds >= (retry_after or 0.0)
        assert verdict.after_seconds <= max(POLICY.longest_seconds, retry_after or 0.0)
        assert verdict.after_seconds >= min(POLICY.longest_seconds, POLICY.base_seconds * 2.0 ** (attempt - 1)) / 2


def test_waits_are_spread() -> None:
    waits = {
        verdict.after_seconds for seed in range(20) if isinstance(verdict := decided(Outcome.TIMEOUT, seed=seed), Retry)
    }
    assert len(waits) == 20


def test_attempts_that_came_back_one_by_one_are_judged_as_those_of_one_sitting() -> None:
    def judged(*outcomes: Outcome) -> GiveUp | None:
        return judge_attempts(outcomes, POLICY)

    assert judged(Outcome.REFUSED) is not None
    assert judged(Outcome.SERVER_ERROR, Outcome.BAD_REQUEST) is not None
    assert judged(*[Outcome.SERVER_ERROR] * 5) is None
    assert judged(*[Outcome.SERVER_ERROR] * 3, *[Outcome.TIMEOUT] * 3) == GiveUp("timeout 6 times")
    # What was never run, or throttled, is counted apart.
    assert judged(*[Outcome.EXPIRED] * 29, *[Outcome.SERVER_ERROR] * 5) is None
    assert judged(*[Outcome.SERVER_ERROR] * 5, *[Outcome.EXPIRED] * 15, *[Outcome.CANCELLED] * 15) is not None
    assert judged(Outcome.EMPTY, Outcome.EMPTY) is not None
    # A person has resumed the job since.
    assert judged(*[Outcome.QUOTA] * 3) is None
