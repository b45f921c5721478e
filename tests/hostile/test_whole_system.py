"""The whole system as `./run up` starts it, with keys, workers and a reconciler: attacked with an administrator's key,
while somebody else works with it. Nothing ends, nothing logs an error, and everything adds up afterwards."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from cli.client import ApiProblem, Client
from local.pg_client import open_database
from shared.access.keys import create_key
from shared.access.quotas import Quotas
from shared.access.scopes import Scope
from shared.database.engine import engine_for
from shared.settings import Settings
from tests.faults.invariant import check_books
from tests.faults.patience import Patience
from tests.faults.system import Role, RunningSystem, find_processes, running_system, wait_until
from tests.hostile.attack import ANSWER_SECONDS, SECONDS, Known, attack, bearing, is_ready
from tests.hostile.honest_user import HonestUser

# What the attacker's jobs may come to.
QUOTAS = Quotas(open_jobs=8, questions=4000, usd=Decimal(100))
SPARE = ("spare-1", "spare-2", "spare-3")
LINES = b"".join(
    b'{"question": "How many %ss fit into %d boxes of seven?", "domain": "math", "difficulty": "easy"}\n' % (what, n)
    for n, what in enumerate((b"apple", b"hammer", b"sailing boat", b"violin", b"pigeon"), 3)
)
SPEC = {
    "mix": {
        "domains": {"math": 12, "reading": 8},
        "difficulties": {
            "easy": {"token_share": 0.6, "mean_tokens": 15},
            "hard": {"token_share": 0.4, "mean_tokens": 60},
        },
    },
    "stages": ["generate", "validate", "answer"],
}
CAME_TO = """
SELECT name, state, left(reason, 100) AS reason, count(*) AS n FROM job JOIN api_key ON api_key.id = api_key_id
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
# What a process says when something went wrong that it did not expect.
TROUBLE = re.compile(r"(?m)^.*(?:\[error|\[critical|\berror  |ERROR|CRITICAL|Traceback).*$")
# Jobs that are under way for as long as the attack lasts, and leave workers to others. Their model is no other job's:
# whoever waits for its rate keeps a place of the worker.
SLOW_MODEL = "openai/gpt-6.1-sol"
LONG = {
    "mix": {"domains": {"math": 600}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}},
    "models": {"generate": {"easy": SLOW_MODEL}},
    "questions_per_call": {"easy": 2},
}
# A job of no more questions, as are most of the attacker's, has to end by itself soon after the attack.
SMALL = 24
LARGE = """
SELECT job.id::text FROM job JOIN job_plan ON job_plan.job_id = job.id AND version = 1
WHERE state = 'running' AND (plan -> 'totals' ->> 'generate')::int > %s
"""
SETTLE_SECONDS = 120


@dataclass(frozen=True)
class Attacked:
    """A running system and the keys of it."""

    system: RunningSystem
    attacker: str
    honest: str

    @property
    def url(self) -> str:
        return self.system.addresses.api_url


def make_keys(home: Path) -> tuple[str, str]:
    """The attacker's and the honest user's, before anything runs: without one the API would not start."""

    async def make(url: str) -> tuple[str, str]:
        async with engine_for(url, application="questmill test", pool_size=1) as engine:
            return (
                await create_key(engine, "attacker", Scope.ADMIN, requests_per_minute=None, quotas=QUOTAS),
                await create_key(engine, "honest", Scope.ADMIN, requests_per_minute=None, quotas=Quotas()),
            )

    with open_database(Settings(home=home), "this test", make=True) as url:
        return asyncio.run(make(url))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    home = tmp_path_factory.mktemp("home")
    attacker, honest = make_keys(home)
    settings = {
        "QUESTMILL_REQUIRE_KEYS": "true",
        "QUESTMILL_REHEARSAL_FAULTS": "demo",
        "QUESTMILL_RATE_LIMITS": f'{{"{SLOW_MODEL}": {{"requests_per_minute": 120}}}}',
    }
    with running_system(home, settings=settings, workers=1) as running:
        yield Attacked(running, attacker, honest)
    assert find_processes(home) == [], "Ctrl-C left processes behind"


def stock(attacked: Attacked, client: Client) -> Known:
    """What there is to attack: a dataset that knows answers and verdicts, some imported ones, and jobs."""
    job_id = str(client.submit({"dataset": "stocked", "budget_usd": "5", **SPEC})["id"])
    with httpx2.Client(base_url=attacked.url, headers=bearing(attacked.honest), timeout=ANSWER_SECONDS) as http:
        for name in SPARE:
            http.post(f"/v1/datasets/{name}/baseline", content=LINES).raise_for_status()
    wait_until(lambda: client.job(job_id)["state"] == "succeeded", "the job to begin with")
    under_way = [str(client.submit({"dataset": f"under-way-{n}", "budget_usd": "50", **LONG})["id"]) for n in range(3)]
    questions = [row.id for row in attacked.system.query("SELECT id FROM question ORDER BY id LIMIT 12")]
    return {
        "names": ["stocked", *SPARE, "under-way-0"],
        "jobs": [job_id, *under_way],
        "questions": questions,
        "domains": ["math", "reading"],
    }


def processes(system: RunningSystem) -> dict[Role, list[int]]:
    return {role: system.processes(role) for role in Role if role is not Role.POSTGRES}


def test_under_attack_it_works_on_and_everything_adds_up(attacked: Attacked, tmp_path: Path) -> None:
    system = attacked.system
    with Client(attacked.url, SecretStr(attacked.honest)) as client:
        known, before = stock(attacked, client), processes(system)
        with HonestUser(attacked.url, attacked.honest) as honest:
            patience = Patience(SECONDS)
            attack(attacked.url, attacked.attacker, tmp_path, share=0.57, known=known)
            while honest.unexpected is None and "succeeded" not in honest.states:
                assert not patience.is_over(), system.query(CAME_TO)
                attack(attacked.url, attacked.attacker, tmp_path, share=0.1, known=known)
        assert honest.unexpected is None
        check_nothing_went_wrong(system, before)
        come_to_rest(system, client, known["jobs"])
    check_jobs_are_explained(system)
    check_books(system.addresses.database_url)
    check_nothing_went_wrong(system, before)
    wait_until(lambda: is_ready(attacked.url), "the system to be ready")


def check_nothing_went_wrong(system: RunningSystem, before: dict[Role, list[int]]) -> None:
    """No process has ended or was started again, and none has said that something unexpected happened."""
    assert "starts again" not in system.log
    assert processes(system) == before
    for log in sorted((system.home / "logs").glob("*.log")):
        if log.stem != "postgres":
            assert TROUBLE.findall(log.read_text()) == [], log.name


def come_to_rest(system: RunningSystem, client: Client, stocked: Sequence[str | int]) -> None:
    """Until nothing moves: the attacker's jobs end by themselves, or are cancelled where they are large or were paused,
    as are ours; calls in flight settle."""
    cancel(client, map(str, stocked))
    cancel(client, [row.id for row in system.query(LARGE, [SMALL])])
    wait_until(
        lambda: not system.query("SELECT FROM job WHERE state = 'running'"),
        "the attacker's jobs to end",
        seconds=SETTLE_SECONDS,
    )
    print(*(f"{row.n} of {row.name} {row.state}: {row.reason}" for row in system.query(CAME_TO)), sep="\n")
    cancel(client, [row.id for row in system.query("SELECT id::text FROM job WHERE state = 'paused'")])
    wait_until(
        lambda: not system.query("SELECT FROM job_budget WHERE held_usd > 0"), "calls to settle", seconds=SETTLE_SECONDS
    )


def cancel(client: Client, job_ids: Iterable[str]) -> None:
    """Those that have not ended and were not deleted."""
    for job_id in job_ids:
        try:
            client.cancel(job_id)
        except ApiProblem as problem:
            if problem.status not in {404, 409}:
                raise


def check_jobs_are_explained(system: RunningSystem) -> None:
    """Each is of one of the two keys, has ended, and says why when it has not succeeded."""
    strange = system.query(
        """SELECT job.id, state, reason FROM job LEFT JOIN api_key ON api_key.id = api_key_id
           WHERE name IS NULL OR state NOT IN ('succeeded', 'failed', 'cancelled')
           OR (state <> 'succeeded') <> (reason IS NOT NULL)"""
    )
    assert strange == []
    assert system.value("SELECT count(*) FROM job JOIN api_key ON api_key.id = api_key_id WHERE name = 'attacker'") >= 1
