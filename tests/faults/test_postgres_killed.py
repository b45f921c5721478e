"""FAULTS 2: the postmaster is shut down at once (SIGQUIT) and killed in mid-run."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2
import pytest

from tests.faults.invariant import check_invariant
from tests.faults.jobs import make_spec, wait_for_admitted, wait_for_end
from tests.faults.strikes import Strikes
from tests.faults.system import Role, RunningSystem, wait_until

ONCE_EACH = (signal.SIGQUIT, signal.SIGKILL)
PROMISED_SECONDS = 1.0
# Of an answer now and then, on a machine that others use as well.
LONGEST_SECONDS = 3.0
OURS = (Role.WORKER, Role.RECONCILER, Role.API)


@dataclass(slots=True)
class Answers:
    """What the API said while Postgres came and went, and how many seconds each answer took."""

    ready: list[tuple[httpx2.Response, float]] = field(default_factory=list)
    posted: list[tuple[httpx2.Response, float]] = field(default_factory=list)

    def is_well(self) -> bool:
        """Whether both were answered, and at last well."""
        return all(kept and kept[-1][0].status_code == 200 for kept in (self.ready, self.posted))


@contextmanager
def asking(system: RunningSystem, spec: object, key: str) -> Iterator[Answers]:
    """Ask for readiness and post the running job once more, all the time."""
    answers = Answers()
    over = threading.Event()

    def keep_asking(ask: Callable[[httpx2.Client], httpx2.Response], kept: list[tuple[httpx2.Response, float]]) -> None:
        with httpx2.Client(base_url=system.addresses.api_url, timeout=30, trust_env=False) as client:
            while not over.is_set():
                began = time.monotonic()
                answer = ask(client)
                kept.append((answer, time.monotonic() - began))
                over.wait(0.03)

    def post(client: httpx2.Client) -> httpx2.Response:
        return client.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key})

    threads = [
        threading.Thread(target=keep_asking, args=(lambda client: client.get("/readyz"), answers.ready)),
        threading.Thread(target=keep_asking, args=(post, answers.posted)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def kill_postgres(strikes: Strikes, signals: tuple[signal.Signals, ...] = ONCE_EACH) -> None:
    """The scenario: nobody but Postgres is ever restarted, and nothing paid is lost."""
    system = strikes.system
    spec, key = make_spec("postgres", questions=90 * len(signals)), str(uuid4())
    job_id = str(system.client.submit(spec, idempotency_key=key)["id"])
    processes = {role: sorted(system.processes(role)) for role in OURS}
    answers: list[Answers] = []
    for number, each in enumerate(signals):
        wait_for_admitted(system, job_id, 15 + 60 * number)
        time.sleep(strikes.random.uniform(0, 0.5))
        with asking(system, spec, key) as heard:
            strikes.strike_postgres(each)
            # The last answers are of a database that is back.
            system.value("SELECT 1")
            wait_until(heard.is_well, "the API")
        answers.append(heard)
    wait_for_end(system, job_id)
    assert {role: sorted(system.processes(role)) for role in OURS} == processes, "somebody had to be restarted"
    slowest = max(check_answers(each, job_id) for each in answers)
    findings = check_invariant(system.addresses.database_url, system.record, job_id, in_flight=strikes.in_flight)
    strikes.tally.effects["paid calls"] += findings.paid
    strikes.tally.notes.append(f"/readyz and POST told of an absent Postgres within {slowest:.2f} s")


def check_answers(heard: Answers, job_id: str) -> float:
    """Both said 503 while Postgres was away, soon; returns the longest wait for that."""
    away = [(answer, seconds) for answer, seconds in heard.ready if answer.status_code == 503]
    refused = [(answer, seconds) for answer, seconds in heard.posted if answer.status_code == 503]
    assert away, "/readyz did not notice"
    assert refused, "POST did not notice"
    assert {answer.status_code for answer, _ in heard.ready + heard.posted} == {200, 503}
    for answer, _ in refused:
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
    assert {answer.json()["id"] for answer, _ in heard.posted if answer.status_code == 200} == {job_id}
    check_waits([seconds for _, seconds in heard.ready])
    return check_waits([seconds for _, seconds in away + refused])


def check_waits(seconds: list[float]) -> float:
    """All but one in a hundred, or one of fewer, as promised, and none much longer; returns the longest."""
    ranked = sorted(seconds)
    assert ranked[len(ranked) * 99 // 100 - 1] < PROMISED_SECONDS, ranked
    assert ranked[-1] < LONGEST_SECONDS, ranked
    return ranked[-1]


@pytest.mark.fault(2)
def test_a_job_ends_exact_although_postgres_is_killed(strikes: Strikes) -> None:
    kill_postgres(strikes)


@pytest.mark.long
@pytest.mark.fault(2)
def test_a_job_ends_exact_although_postgres_is_killed_again_and_again(strikes: Strikes) -> None:
    signals = [*ONCE_EACH, *ONCE_EACH]
    strikes.random.shuffle(signals)
    kill_postgres(strikes, tuple(signals))
