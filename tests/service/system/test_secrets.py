"""Marked secrets in a running system: after a whole job no mark is anywhere that anybody but their owner looks."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from local.process import Command, free_port, start_tethered
from tests.faults.system import ROOT, Role, RunningSystem, find_processes, plays, running_system, wait_until

OPENAI_KEY = "sk-openai-marked-5e1f0c"
ANTHROPIC_KEY = "sk-ant-marked-77ab03"
WEBHOOK_SECRET = "webhook-marked-91d2"
FLOWER_PASSWORD = "flower-marked-3c0a"
PROVIDER_KEYS = (OPENAI_KEY, ANTHROPIC_KEY)
MARKS = (*PROVIDER_KEYS, WEBHOOK_SECRET, FLOWER_PASSWORD)
# What must be found, or the search has looked in the wrong place.
DATASET = "searched-for"
SPEC = {
    "dataset": DATASET,
    "mix": {
        "domains": {"math": 30, "reading": 20},
        "difficulties": {
            "easy": {"token_share": 0.6, "mean_tokens": 15},
            "hard": {"token_share": 0.4, "mean_tokens": 60},
        },
    },
    "models": {"generate": {"easy": "openai/gpt-6-luna", "hard": "anthropic/claude-haiku-5-5"}},
    "stages": ["generate", "validate", "answer"],
}
FAULTS = "429=0.05,500=0.05,529=0.03,cut=0.05,reset=0.03,broken=0.05"


@pytest.fixture(scope="module")
def provider_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Models for which a key is needed."""
    port = free_port()
    command = [sys.executable, "-m", "local.rehearsal", "--host", "127.0.0.1", "--port", str(port), "--latency", "0.02"]
    log = tmp_path_factory.mktemp("provider") / "log"
    server = start_tethered(
        Command([*command, "--faults", FAULTS], environment={"PYTHONPATH": str(ROOT)}, folder=ROOT), log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: server.poll() is not None or _answers(f"{url}/rehearsal/summary"), "the models")
        assert server.poll() is None, log.read_text()
        yield url
    finally:
        server.terminate()
        server.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, provider_url: str) -> Iterator[RunningSystem]:
    """Half of its secrets come from files."""
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "openai").write_text(f"{OPENAI_KEY}\n")
    (secrets / "flower").write_text(f"admin:{FLOWER_PASSWORD}\n")
    settings = {
        "OPENAI_API_KEY_FILE": str(secrets / "openai"),
        "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
        "OPENAI_BASE_URL": f"{provider_url}/v1",
        "ANTHROPIC_BASE_URL": provider_url,
        "QUESTMILL_FLOWER_AUTH_FILE": str(secrets / "flower"),
        "QUESTMILL_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "QUESTMILL_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/nobody",
        "QUESTMILL_LOG_LEVEL": "DEBUG",
    }
    with running_system(tmp_path_factory.mktemp("home"), settings=settings, workers=1, watched=False) as running:
        job_id = str(running.client.submit(SPEC)["id"])
        wait_until(
            lambda: running.client.job(job_id)["state"] not in {"running", "paused"}, "the job's end", seconds=180
        )
        yield running


def found(text: str, marks: tuple[str, ...] = MARKS) -> list[str]:
    return [mark for mark in marks if mark in text]


def test_no_log_has_one(system: RunningSystem) -> None:
    said = system.log + "".join(path.read_text() for path in (system.home / "logs").iterdir())
    assert DATASET in said
    assert "call settled" in said
    assert found(said) == []


def test_no_row_of_the_database_has_one(system: RunningSystem) -> None:
    tables = [row.name for row in system.query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")]
    assert {"call", "job", "notification", "answer"} <= set(tables)
    rows = "\n".join(
        str(row.whole) for name in tables for row in system.query(f'SELECT t::text AS whole FROM "{name}" t')
    )
    assert DATASET in rows
    assert "rate_limited" in rows or "server_error" in rows, "no call failed"
    assert found(rows) == []


def test_the_api_tells_none_whatever_is_asked(system: RunningSystem) -> None:
    job_id = system.value("SELECT id::text FROM job")
    question = system.value("SELECT min(id) FROM question")
    job, dataset = f"/v1/jobs/{job_id}", f"/v1/datasets/{DATASET}"
    paths = [
        *("/openapi.json", "/metrics", "/readyz", "/v1/settings/public", "/v1/limits", "/v1/jobs"),
        *(job, f"/v1/questions/{question}"),
        *(f"{job}/{what}" for what in ("batches", "calls", "live", "series", "notifications", "rejections")),
        *(f"{dataset}/{what}" for what in ("export?answers=all", "export?format=parquet", "sample", "questions")),
        *("/v1/nowhere", "/v1/jobs/none", "/v1/datasets/none", f"{job}/calls?limit=x", "/v1/datasets/%00"),
    ]  # fmt: skip
    with httpx2.Client(base_url=system.addresses.api_url, timeout=30) as http:
        answers = [http.get(path) for path in paths]
        answers += [
            http.post("/v1/jobs", json={"dataset": 7}),
            http.post(f"{job}/resume"),
            http.post("/v1/jobs", content=b"{"),
        ]
    assert {answer.status_code for answer in answers} >= {200, 404, 422, 409}
    assert max(answer.status_code for answer in answers) < 500
    told = "\n".join(f"{answer.headers} {answer.content.decode('utf-8', 'replace')}" for answer in answers)
    assert DATASET in told
    assert found(told) == []


def test_flower_tells_none(system: RunningSystem) -> None:
    pages = ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers?refresh=true", "/api/tasks"]
    with httpx2.Client(base_url=system.addresses.flower_url, timeout=30) as http:
        assert http.get("/api/tasks").status_code == 401
        http.auth = httpx2.BasicAuth("admin", FLOWER_PASSWORD)
        answers = [http.get(page) for page in pages]
    assert answers[0].status_code == 200
    told = "\n".join(f"{answer.headers} {answer.text}" for answer in answers)
    assert DATASET in told
    assert found(told) == []
    for url in (system.addresses.database_url, system.addresses.redis_url):
        assert httpx2.URL(url).password not in told.split()


def test_no_command_line_has_one_and_only_workers_hold_provider_keys(system: RunningSystem) -> None:
    processes = find_processes(system.home)
    assert len(processes) >= 6
    assert found("\n".join(itertools.chain.from_iterable(process.words for process in processes))) == []
    for process in processes:
        words = process.words
        if plays(Role.WORKER, words) or words[1:3] == ["-m", "local"] or process.pid == system.supervisor.pid:
            continue
        environment = process.environment.decode("utf-8", "replace")
        assert found(environment, PROVIDER_KEYS) == [], words
        assert "OPENAI_API_KEY_FILE" not in environment, words


def content_of(path: Path) -> bytes:
    """Nothing of a file that is gone: who writes one anew, as Flower does, puts another in its place."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_no_file_of_the_home_has_one(system: RunningSystem) -> None:
    files = [path for path in system.home.rglob("*") if path.is_file() and "postgres" not in path.parts]
    assert {"env.json"} <= {path.name for path in files}
    for path in files:
        content = content_of(path)
        assert not [mark for mark in MARKS if mark.encode() in content], path
