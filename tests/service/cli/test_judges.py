from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.client import Client
from tests.service.cli.test_commands import Shell, Spec
from tests.service.factories import add_verdict
from tests.service.jobs.test_agreement import judged_job


@pytest.fixture
def shell(api_url: str, tmp_path: Path, spec: Spec) -> Shell:
    return Shell(api_url, tmp_path, spec)


async def test_verdicts_are_shown_for_a_job_and_its_cells(shell: Shell, engine: AsyncEngine) -> None:
    hold, (good, split, *_) = await judged_job(engine, "shown", votes=2)
    async with engine.begin() as conn:
        for vote in range(2):
            await add_verdict(conn, hold, good, vote=vote)
            await add_verdict(conn, hold, split, vote=vote, clear=5 - vote * 3)
    said = shell.run("verdicts", hold.job_id, "--by-cell")
    assert "2 questions judged by 4 verdicts: 1 accepted, 1 rejected" in said
    assert "votes differ on 50.0% of the questions; Fleiss' kappa -0.333" in said
    rows = {line.split("  ")[0]: line.split() for line in said.splitlines()}
    assert rows["clear"] == ["clear", "4.25", "1.50", "1"]
    assert rows["math/easy"] == ["math/easy", "2", "1", "1", "0", "50.0%", "-0.33"]
    assert shell.json("verdicts", hold.job_id)["kappa"] == pytest.approx(-1 / 3)


def test_a_job_that_validates_nothing_says_so(shell: Shell, api_url: str, spec: Spec) -> None:
    with Client(api_url) as client:
        job_id = client.submit(spec)["id"]
    assert "This job validates nothing" in shell.run("verdicts", job_id)
