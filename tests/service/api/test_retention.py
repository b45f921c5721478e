import asyncio
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.job_shapes import JobShape
from api.schemas import PrunedShape
from api.work_shapes import BatchPage, CallPage

Spec = dict[str, Any]
OLD = text("UPDATE job SET finished_at = finished_at - interval '400 d' WHERE finished_at IS NOT NULL")


def prune(http: httpx2.Client, **body: object) -> dict[str, Any]:
    answer = http.post("/v1/prune", json=body).raise_for_status()
    PrunedShape.model_validate(answer.json())
    told: dict[str, Any] = answer.json()
    return told


async def ended_job(http: httpx2.Client, engine: AsyncEngine, spec: Spec) -> str:
    """The path of a job that ended more than a year ago."""
    url = http.post("/v1/jobs", json=spec).raise_for_status().headers["Location"]
    http.post(f"{url}/cancel").raise_for_status()
    async with engine.begin() as conn:
        await conn.execute(OLD)
    return str(url)


async def test_an_archived_job_is_shown_as_it_was(http: httpx2.Client, engine: AsyncEngine, spec: Spec) -> None:
    url = await ended_job(http, engine, spec)
    before = http.get(url).json()
    assert before["archived_at"] is None
    batches = len(http.get(f"{url}/batches", params={"limit": 500}).json()["items"])
    would = prune(http, dry_run=True)
    assert would == {
        "dry_run": True,
        "raw": {"jobs": 0, "calls": 0, "bytes": 0, "unparsed": 0},
        "archived": {"jobs": 1, "calls": 0, "batches": batches},
        "skipped": [],
    }
    assert http.get(url).json() == before
    assert prune(http) == {**would, "dry_run": False}
    after = JobShape.model_validate(http.get(url).json())
    assert after.archived_at is not None
    assert {**http.get(url).json(), "archived_at": None} == before
    assert BatchPage.model_validate(http.get(f"{url}/batches").json()).items == []
    assert CallPage.model_validate(http.get(f"{url}/calls").json()).items == []
    assert before["id"] in [job["id"] for job in http.get("/v1/jobs", params={"summary": "true"}).json()["items"]]
    assert before["id"] in [job["id"] for job in http.get("/v1/jobs").json()["items"]]
    with http.stream("GET", f"{url}/events") as stream:
        assert "event: end" in stream.read().decode()
    for verb in ("pause", "resume", "cancel"):
        assert http.post(f"{url}/{verb}").status_code == 409
    assert http.post("/v1/jobs", json=spec).status_code == 202  # the dataset is free for another
    assert prune(http)["archived"]["jobs"] == 0


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"raw_days": -1}', "raw_days"),
        (b'{"raw_days": 36501, "ledger_days": 36501}', "raw_days"),
        (b'{"raw_days": true}', "raw_days"),
        (b'{"raw_days": 1.5}', "raw_days"),
        (b'{"ledger_days": "365"}', "ledger_days"),
        (b'{"ledger_days": 29}', "ledger_days"),
        (b'{"raw_days": 9, "ledger_days": 8}', "ledger_days"),
        (b'{"dry_run": "no"}', "dry_run"),
        (b'{"dry_run": true, "dry_run": false}', "dry_run"),
        (b'{"days": 3}', "days"),
    ],
)
async def test_a_wrong_prune_names_the_field_and_deletes_nothing(
    http: httpx2.Client, engine: AsyncEngine, spec: Spec, body: bytes, loc: str
) -> None:
    url = await ended_job(http, engine, spec)
    answer = http.post("/v1/prune", content=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["loc"] == loc
    assert http.get(url).json()["archived_at"] is None


def test_the_document_describes_the_body_and_the_answer(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    described = document["paths"]["/v1/prune"]["post"]
    assert described["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/PruneBody"
    }
    assert set(document["components"]["schemas"]["PruneBody"]["properties"]) == {"raw_days", "ledger_days", "dry_run"}
    assert {"200", "422", "503"} <= set(described["responses"])


async def test_prunes_at_once_archive_a_job_once(
    api_url: str, http: httpx2.Client, engine: AsyncEngine, spec: Spec
) -> None:
    prune(http)
    url = await ended_job(http, engine, spec)
    batches = len(http.get(f"{url}/batches", params={"limit": 500}).json()["items"])
    async with httpx2.AsyncClient(base_url=api_url, timeout=30) as many:
        answers = await asyncio.gather(*(many.post("/v1/prune", json={}) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["archived"]["batches"] for answer in answers) == batches
    assert http.get(f"{url}").json()["archived_at"] is not None
