import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.client import Client
from tests.service.cli.test_commands import Shell, Spec

OLD = text("UPDATE job SET finished_at = finished_at - interval '400 d' WHERE finished_at IS NOT NULL")


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    return Shell(api_url, tmp_path, spec)


@pytest.fixture
async def old_job(api_url: str, engine: AsyncEngine, spec: Spec) -> str:
    """The id of the only job that is old enough to be pruned."""
    with Client(api_url) as client:
        client.prune()
        job_id: str = client.submit(spec)["id"]
        client.cancel(job_id)
    async with engine.begin() as conn:
        await conn.execute(OLD)
    return job_id


def is_archived(shell: Shell, job_id: str) -> bool:
    with Client(shell.environment["QUESTMILL_API_URL"]) as client:
        return client.job(job_id)["archived_at"] is not None


def at_a_terminal(shell: Shell, reply: str, *arguments: str, command: str = "prune") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command whose stdin is a terminal at which `reply` is typed."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{reply}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "cli", command, *arguments],
            env=shell.environment, cwd=shell.folder, stdin=theirs, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, done.stdout, done.stderr


def test_without_a_terminal_nothing_is_pruned_unasked(shell: Shell, old_job: str) -> None:
    said = shell.run("prune", status=1)
    assert "--dry-run" in said
    assert "--yes" in said
    assert len(said.splitlines()) == 1
    assert not is_archived(shell, old_job)


def test_a_dry_run_tells_and_changes_nothing(shell: Shell, old_job: str) -> None:
    assert "1 job would be archived" in shell.run("prune", "--dry-run")
    told = shell.json("prune", "--dry-run")
    assert (told["dry_run"], told["archived"]["jobs"]) == (True, 1)
    assert shell.json("prune", "--dry-run", "--ledger-days", "500")["archived"]["jobs"] == 0
    assert not is_archived(shell, old_job)


def test_with_yes_it_is_done_and_told(shell: Shell, old_job: str) -> None:
    said = shell.run("prune", "--yes", "--raw-days", "0", "--ledger-days", "399")
    assert "1 job archived: 0 calls and" in said
    assert is_archived(shell, old_job)
    assert "nothing to prune" in shell.run("prune", "--yes")


@pytest.mark.parametrize("reply", ["n", ""])
def test_a_person_who_does_not_say_yes_keeps_everything(shell: Shell, old_job: str, reply: str) -> None:
    status, stdout, stderr = at_a_terminal(shell, reply)
    assert (status, stdout) == (1, "")
    assert "1 job would be archived" in stderr
    assert "cannot be undone" in stderr
    assert stderr.endswith("Nothing was pruned.\n")
    assert not is_archived(shell, old_job)


def test_a_person_sees_what_goes_and_says_yes(shell: Shell, old_job: str) -> None:
    status, stdout, stderr = at_a_terminal(shell, "y", "--json")
    assert status == 0, stderr
    assert "1 job would be archived" in stderr
    told: dict[str, Any] = json.loads(stdout)
    assert (told["dry_run"], told["archived"]["jobs"]) == (False, 1)
    assert is_archived(shell, old_job)
    status, stdout, stderr = at_a_terminal(shell, "")
    assert (status, stderr) == (0, "")
    assert "nothing to prune" in stdout


def test_wrong_ages_are_one_sentence(shell: Shell) -> None:
    assert "--raw-days" in shell.run("prune", "--raw-days", "-1", status=2)
    assert "lower raw_days as well" in shell.run("prune", "--yes", "--ledger-days", "1", status=1)
