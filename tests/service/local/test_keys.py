"""`./run keys` on a database of its own, as a process."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from local.process import free_port
from shared.access.key_text import hash_secret
from tests.service.conftest import at_database

ROOT = Path(__file__).parents[3]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def url(postgres_url: str, template_database: str) -> Iterator[str]:
    name = f"questmill_test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        server.execute(clone.format(sql.Identifier(name), sql.Identifier(template_database)))
        yield at_database(postgres_url, name)
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def runner(**more: str) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **more}
        command = [sys.executable, "-m", "local", "keys", *arguments]
        return subprocess.run(
            command, check=False, env=environment, cwd=ROOT, capture_output=True, text=True, input="", timeout=120
        )

    return run


@pytest.fixture
def keys(url: str, tmp_path: Path) -> Run:
    return runner(DATABASE_URL=url, QUESTMILL_HOME=str(tmp_path))


def key_in(shown: str) -> str:
    (key,) = re.findall(r"qm_[A-Za-z0-9_-]{43}", shown)
    return str(key)


def test_a_key_is_shown_once_listed_and_revoked(keys: Run, url: str) -> None:
    assert "There is no key" in keys("list").stdout
    made = keys(
        "create", "ci", "--scope", "submit", "--requests-per-minute", "60", "--open-jobs", "2", "--dollars", "12.5"
    )
    assert made.returncode == 0, made.stderr
    key = key_in(made.stdout)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT secret_hash, scope, most_open_jobs, most_questions FROM api_key").fetchone()
    assert row == (hash_secret(key), "submit", 2, None)
    listed = keys("list").stdout
    assert key not in listed
    assert re.search(r"ci +submit +\S+ \S+ +never +60 requests a minute, 0 of 2 open jobs, \$0\.00 of \$12\.50", listed)
    again = keys("create", "ci", "--scope", "read")
    assert again.returncode == 2
    assert again.stderr.strip() == "There is a key ci already: choose another name, or revoke that one first."
    unasked = keys("revoke", "ci")
    assert unasked.returncode == 2
    assert "--yes goes on without asking" in unasked.stderr
    assert keys("revoke", "ci", "--yes").returncode == 0
    assert "revoked" in keys("list").stdout
    assert "No key in force is called ci" in keys("revoke", "ci", "--yes").stderr
    assert keys("create", "ci", "--scope", "read").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("create", "CI", "--scope", "read"), "no name for a key"),
        (("create", "ci"), "--scope"),
        (("create", "ci", "--scope", "root"), "invalid choice"),
        (("create", "ci", "--scope", "read", "--dollars", "-1"), "no amount of dollars"),
        (("create", "ci", "--scope", "read", "--dollars", "1e3"), "no amount of dollars"),
        (("create", "ci", "--scope", "read", "--open-jobs", "0"), "no whole number"),
    ],
)
def test_what_is_wrong_is_said(keys: Run, arguments: tuple[str, ...], why: str) -> None:
    done = keys(*arguments)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_without_the_table_is_told(postgres_url: str, tmp_path: Path) -> None:
    done = runner(DATABASE_URL=postgres_url, QUESTMILL_HOME=str(tmp_path))("list")
    assert done.returncode == 2
    assert "run db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_first_key_of_a_home_that_was_never_started(tmp_path: Path) -> None:
    run = runner(QUESTMILL_HOME=str(tmp_path / "home"))
    made = run("create", "first", "--scope", "admin")
    assert made.returncode == 0, made.stderr
    assert key_in(made.stdout)
    assert "first" in run("list").stdout


def test_the_whole_system_does_not_start_for_others_without_a_key(tmp_path: Path) -> None:
    told = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "QUESTMILL_HOME": str(tmp_path / "home"),
        "QUESTMILL_API_PORT": str(free_port()),
        "QUESTMILL_FLOWER_PORT": str(free_port()),
        "QUESTMILL_API_HOST": "0.0.0.0",  # noqa: S104 - it does not come to that
        "QUESTMILL_ALLOWED_HOSTS": "questmill.example.org",
    }
    up = [sys.executable, "-m", "local", "up"]
    done = subprocess.run(up, check=False, env=told, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "./run keys create NAME --scope admin" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "home" / "logs" / "api.log").exists()
