import json
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.client import Client
from shared.ids import JobId
from tests.service.cli.test_commands import Shell, Spec
from tests.service.cli.test_pruning import at_a_terminal
from tests.service.jobs.test_reparse import CANAL, RECORD, RIVERS, stored
from tests.service.jobs.world import held_batch


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    return Shell(api_url, tmp_path, spec)


@pytest.fixture
async def job_id(engine: AsyncEngine, api_url: str, spec: Spec) -> str:
    """A job with a reply that an older parser got nothing from."""
    with Client(api_url) as client:
        job_id: str = client.submit(spec)["id"]
    hold = (await held_batch(engine, JobId(UUID(job_id)))).hold
    await stored(engine, hold, {"questions": [RIVERS, CANAL, "?!"]}, **RECORD)
    return job_id


def test_without_a_terminal_nothing_is_taken_in_unasked(shell: Shell, job_id: str) -> None:
    said = shell.run("reparse", job_id, status=1)
    assert "--dry-run" in said
    assert len(said.splitlines()) == 1
    told = shell.run("reparse", job_id, "--dry-run")
    assert "1 reply read again, 0 gave nothing new" in told
    assert "3 candidates gained: 2 would be admitted to the reserve, 1 refused: no words" in told
    assert "2 admitted to the reserve" in shell.run("reparse", job_id, "--yes")
    assert not any(shell.json("reparse", job_id, "--yes")["gained"].values())


def test_a_person_is_shown_what_would_come_and_decides(shell: Shell, job_id: str) -> None:
    status, stdout, stderr = at_a_terminal(shell, "n", job_id, command="reparse")
    assert (status, stdout) == (1, "")
    assert "2 would be admitted" in stderr
    assert stderr.endswith("Nothing was taken in.\n")
    status, stdout, _ = at_a_terminal(shell, "y", job_id, "--json", command="reparse")
    assert (status, json.loads(stdout)["admitted"]) == (0, 2)
    status, stdout, stderr = at_a_terminal(shell, "", job_id, command="reparse")
    assert (status, stderr) == (0, "")
    assert "1 gave nothing new" in stdout
