"""What pages take for granted, made by the product's own commands. Each makes only what is not there yet."""

import gzip
import json
from typing import TYPE_CHECKING

from local.postgres import find_postgres

if TYPE_CHECKING:
    from tests.docs.session import Session

PAUSED = 3
SMALL_MIX = {"domains": {"math": 400}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}}
EMPTY = "questmill_restore"
MINE = "./run questmill init prepared.yaml --questions 200 --stages generate,validate,answer --force"


def nothing_running(session: "Session") -> None:
    """No system runs in the home."""
    session.stop_system()


def system_up(session: "Session") -> None:
    """A system runs in the home."""
    session.start_system()


def dataset_demo(session: "Session") -> None:
    """The dataset of a demo, which is an earlier page's or a small one."""
    session.start_system()
    if "demo" not in _datasets(session):
        session.stop_system()
        session.do("./run demo --questions 2000")


def dataset_mine(session: "Session") -> None:
    """A dataset `mine` with judged and answered questions; its job has ended."""
    session.start_system()
    if "mine" not in _datasets(session):
        session.do(f"{MINE} && ./run questmill submit prepared.yaml --watch; rm prepared.yaml")


def paused_job(session: "Session") -> None:
    """A job of the dataset `thrifty` that its budget has paused."""
    session.start_system()
    if "thrifty" not in _datasets(session):
        spec = {"dataset": "thrifty", "mix": SMALL_MIX, "budget_usd": "0.002"}
        (session.scratch.root / "thrifty.yaml").write_text(json.dumps(spec))
        session.do(f"./run questmill submit thrifty.yaml --watch; test $? = {PAUSED}")


def job_file(session: "Session") -> None:
    """A job spec of a few questions."""
    if not (session.scratch.root / "job.yaml").exists():
        session.do("./run questmill init job.yaml --questions 200 --stages generate,validate,answer")


def backup_file(session: "Session") -> None:
    """A backup of the database."""
    if not (session.scratch.root / "questmill.dump").exists():
        session.do("./run backup questmill.dump")


def question_files(session: "Session") -> None:
    """Files of questions, as somebody would have them."""
    rows = (session.scratch.root / "local" / "demo_baseline.jsonl").read_text().splitlines()[:50]
    texts = [json.loads(row)["question"] for row in rows]
    for name in ("old.jsonl.gz", "gsm8k_test.jsonl.gz"):
        (session.scratch.root / name).write_bytes(gzip.compress("\n".join(rows).encode()))
    (session.scratch.root / "tests.jsonl").write_text("".join(f"{row}\n" for row in rows))
    (session.scratch.root / "questions.txt").write_text("".join(f"{' '.join(text.split())}\n" for text in texts))


def empty_database(session: "Session") -> None:
    """The addresses of the database and of an empty one beside it, and Postgres's client programs of its version."""
    session.start_system()
    if "RESTORE_URL" in session.environment:
        return
    programs = find_postgres() / "bin"
    url = session.environment["RUNNING_DATABASE_URL"]
    restored = f"{url.rpartition('/')[0]}/{EMPTY}"
    session.environment |= {
        "PATH": f"{programs}:{session.environment['PATH']}",
        "DATABASE_URL": url,
        "RESTORE_URL": restored,
    }
    statements = [f"DROP DATABASE IF EXISTS {EMPTY}", f"CREATE DATABASE {EMPTY}"]
    said = " ".join(f"-c '{each}'" for each in statements)
    session.do(f"{programs}/psql '{url}' {said}")


def _datasets(session: "Session") -> set[str]:
    listed = json.loads(session.do("./run questmill jobs --json"))
    return {job["dataset"] for job in listed}
