"""Reading stored replies again over HTTP."""

from uuid import UUID

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.reparse_shapes import ReparsedShape
from shared.ids import JobId, new_job_id
from tests.service.jobs.test_reparse import RECORD, RIVERS, stored
from tests.service.jobs.world import held_batch


@pytest.fixture
async def job_id(engine: AsyncEngine, http: httpx2.Client, spec: dict[str, object]) -> JobId:
    """A job with a reply that an older parser got nothing from."""
    job_id = JobId(UUID(http.post("/v1/jobs", json=spec).raise_for_status().json()["id"]))
    await stored(engine, (await held_batch(engine, job_id)).hold, {"questions": [RIVERS]}, **RECORD)
    return job_id


def test_a_dry_run_then_the_thing_itself_then_nothing(http: httpx2.Client, job_id: JobId) -> None:
    url = f"/v1/jobs/{job_id}/reparse"
    planned = ReparsedShape.model_validate(http.post(url, json={"dry_run": True}).raise_for_status().json())
    done = ReparsedShape.model_validate(http.post(url).raise_for_status().json())
    again = ReparsedShape.model_validate(http.post(url, json={}).raise_for_status().json())
    assert [each.gained.questions for each in (planned, done, again)] == [1, 1, 0]
    assert [each.dry_run for each in (planned, done, again)] == [True, False, False]


def test_wrong_requests_are_problems(http: httpx2.Client, job_id: JobId) -> None:
    url = f"/v1/jobs/{job_id}/reparse"
    wrong: tuple[object, ...] = ({"dry_run": "yes"}, {"colour": "red"}, [])
    for body in wrong:
        assert http.post(url, json=body).status_code == 422
    assert http.post(f"/v1/jobs/{new_job_id()}/reparse").status_code == 404


def test_the_document_has_it(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    operation = document["paths"]["/v1/jobs/{job_id}/reparse"]["post"]
    assert operation["requestBody"]["required"] is False
    assert {"ReparseBody", "ReparsedShape"} <= document["components"]["schemas"].keys()
