"""Every operation of the OpenAPI document, attacked by schemathesis: all checks, examples to stateful, no failure.

`QUESTMILL_HOSTILE_SECONDS` and `QUESTMILL_HOSTILE_SEED` make another run of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import QuestionId
from tests.service.api.serving import serving_process
from tests.service.corpus.test_samples import make_whole

SECONDS = int(os.environ.get("QUESTMILL_HOSTILE_SECONDS", "180"))
SEED = int(os.environ.get("QUESTMILL_HOSTILE_SEED", "1"))
CONFIG = Path(__file__).with_name("schemathesis.toml")
DATASET = "stocked"
SPEC = {
    "dataset": "planned",
    "mix": {
        "domains": {"math": 60, "reading": 40},
        "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}},
    },
}


@pytest.fixture
async def questions(engine: AsyncEngine, providers: None) -> tuple[QuestionId, ...]:
    """Those of a dataset that knows answers, verdicts and a rejection."""
    return await make_whole(engine, DATASET)


def test_no_operation_answers_otherwise_than_documented(
    database_url: str, redis_url: str, questions: tuple[QuestionId, ...], tmp_path: Path
) -> None:
    with serving_process(database_url, redis_url) as (url, api):
        job_id = httpx2.post(f"{url}/v1/jobs", json=SPEC).raise_for_status().json()["id"]
        config = tmp_path / "schemathesis.toml"
        # Half of all requests name what there is: else most would end at "there is no such job".
        known = {"names": [DATASET], "jobs": [job_id], "questions": list(questions), "domains": ["math"]}
        dictionaries = "".join(
            f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n" for name, values in known.items()
        )
        config.write_text(CONFIG.read_text() + dictionaries)
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{url}/openapi.json"),
            *("--checks", "all", "--continue-on-failure", "--max-time", str(SECONDS), "--seed", str(SEED)),
        ]
        environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.hostile.bodies", "NO_COLOR": "1"}
        report = tmp_path / "report.txt"
        with report.open("w") as file:
            done = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment, timeout=SECONDS * 3 + 120, check=False
            )
        said = report.read_text()
        print(said[said.rfind("= SUMMARY =") - 40 :])
        assert done.returncode == 0, said[-20_000:]
        assert api.poll() is None, "the API has ended"
        assert httpx2.get(f"{url}/readyz", timeout=20).status_code in {200, 503}
