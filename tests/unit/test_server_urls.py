"""A URL of a server may hold a password, which no message repeats."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import InvalidInput
from shared.server_urls import NOT_A_URL, POSTGRES, REDIS, check_server_url, hide_password
from shared.settings import load_settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://questmill@127.0.0.1:5432/questmill",
        "postgres://q:hunter%2F2@db.example.org/x?sslmode=verify-full&sslrootcert=/certificates/ca.crt",
        "postgresql://q:hunter:2@[::1]:5432/x",
        "postgresql:///x?host=/run/postgresql&user=me@example.org",
        "postgresql://q@one:5432,two:5433/x",
    ],
)
def test_what_names_a_server_is_taken_as_it_is(url: str) -> None:
    assert check_server_url(url, POSTGRES, "") == url


@pytest.mark.parametrize(
    "url",
    [
        "host=db user=q password=hunter2 dbname=x",
        "q:hunter2@db:5432/x",
        "//q:hunter2@db/x",
        "mysql://q:hunter2@db/x",
        "postgresql://q:hunter2/more@db/x",
        "postgresql://q:hunter2?more@db/x",
        "postgresql://q:hunter2#more@db/x",
        "postgresql://q:1@hunter2@db/x",
        "postgresql://q:1/hunter2@db/x",
        "postgresql://q@db:hunter2/x",
    ],
)
def test_what_does_not_is_refused_without_a_word_of_it(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    load_settings.cache_clear()
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert caught.value.detail.startswith("DATABASE_URL: ")
    assert "hunter2" not in repr(caught.value)
    assert "hunter2" not in hide_password(url)
    load_settings.cache_clear()


@pytest.mark.parametrize("process", ["api", "workers", "workers.reconciler", "workers.flower"])
def test_a_process_with_a_wrong_url_ends_with_a_sentence(process: str) -> None:
    environment = os.environ | {"DATABASE_URL": "postgresql://q:hunter2/more@db/x"}
    command = [sys.executable, "-m", process]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("DATABASE_URL: where its host ends is not clear: in a password / is written %2F")
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "redis://:hun/ter2@db", "http://db:6379", "unix:///run/redis.sock"])
def test_the_brokers_likewise(url: str) -> None:
    with pytest.raises(ValueError, match=r"write a URL like|where its host ends"):
        check_server_url(url, REDIS, "redis://:password@host:6379/0")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://q:hunter2@db:5432/x?password=hunter2", "db:5432/x"),
        ("postgresql:///x?host=/run/postgresql", "local socket/x"),
        ("postgresql://q:hunter2@/x?host=/run/postgresql", "local socket/x"),
        ("redis://:hunter2@db:6379/0", "db:6379/0"),
        ("https://q:hunter2@models.example.org/v1", "models.example.org/v1"),
        ("db:5432/x", NOT_A_URL),
        ("", NOT_A_URL),
    ],
)
def test_host_port_and_path_are_shown(url: str, shown: str) -> None:
    assert hide_password(url) == shown
