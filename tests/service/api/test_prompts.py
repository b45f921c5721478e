import json
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.prompt_shapes import PromptFilesShape, PromptVersionsShape
from shared.questions.wording import STAGES, wording

Spec = dict[str, Any]
OLD = text("""
INSERT INTO prompt_version (version, stage, files, first_used_at)
VALUES ('answer-1-0000beef', 'answer', CAST(:files AS jsonb), '2026-01-02 03:04:05Z')
ON CONFLICT (version) DO NOTHING
""")
ADD_CALLS = text("""
INSERT INTO call (id, job_id, batch_id, stage, ordinal, attempt, fence, model, prompt, state, outcome, raw, worst_usd,
    cost_usd, settled_at, sent_at)
SELECT gen_random_uuid(), job_id, id, made.stage, 1000 + made.at, 1, 1, 'openai/gpt-6-luna',
    jsonb_build_object('version', made.version), 'ok', 'ok', '{}', 0, 0, now(), now() + made.at * interval '1 s'
FROM (SELECT * FROM batch WHERE job_id = CAST(:job_id AS uuid) ORDER BY id LIMIT 1) AS batch,
    (VALUES (0, 'generate', CAST(:old AS text)), (1, 'generate', CAST(:now AS text)),
        (2, 'generate', CAST(:now AS text) || '+atlas-12345678')) AS made (at, stage, version)
""")

ADD_QUESTION = text("""
INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash, signature_version, prompt_tokens,
    tokenizer, job_id, batch_id, call_id, fence, model, prompt_version)
SELECT dataset_id, 'math', 'easy', 'a?', decode(md5('a?'), 'hex'), 0, 1, 1, 'o200k_base', id, gen_random_uuid(),
    gen_random_uuid(), 1, 'openai/gpt-6-luna', :version
FROM job WHERE id = CAST(:job_id AS uuid)
""")


@pytest.fixture
async def old_version(engine: AsyncEngine) -> dict[str, str]:
    """The files of a version that is stored and no longer used."""
    files = {"user.txt": "Answer.\n", "system.txt": "You answer.\n"}
    async with engine.begin() as conn:
        await conn.execute(OLD, {"files": json.dumps(files)})
    return files


def versions(http: httpx2.Client, **params: str) -> list[dict[str, Any]]:
    answer = http.get("/v1/prompts", params=params).raise_for_status()
    PromptVersionsShape.model_validate(answer.json())
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_every_stage_has_a_present_version(http: httpx2.Client, old_version: dict[str, str]) -> None:
    listed = versions(http)
    assert [(each["stage"], each["version"]) for each in listed[:3]] == [
        (name, wording(name).version) for name in STAGES
    ]
    assert [each["current"] for each in listed] == [True] * 3 + [False] * (len(listed) - 3)
    old = next(each for each in listed if each["version"] == "answer-1-0000beef")
    assert (old["stage"], old["first_used_at"][:10]) == ("answer", "2026-01-02")


@pytest.mark.parametrize("stage", STAGES)
def test_a_present_version_shows_its_files(http: httpx2.Client, stage: str) -> None:
    found = http.get(f"/v1/prompts/{wording(stage).version}").json()
    PromptFilesShape.model_validate(found)
    assert (found["stage"], found["current"]) == (stage, True)
    assert found["files"] == dict(wording(stage).files)


def test_a_version_that_was_used_is_shown_as_it_was(http: httpx2.Client, old_version: dict[str, str]) -> None:
    found = http.get("/v1/prompts/answer-1-0000beef").json()
    assert (found["files"], found["current"]) == (old_version, False)


def test_a_users_atlas_is_no_part_of_the_files(http: httpx2.Client) -> None:
    version = wording("generate").version
    assert http.get(f"/v1/prompts/{version}+atlas-12345678").json() == http.get(f"/v1/prompts/{version}").json()


@pytest.mark.parametrize("version", ["generate-1-nothing", "x", "..%2F..%2Fetc", "%25", "a" * 200])
def test_an_unknown_version_is_not_found(http: httpx2.Client, version: str) -> None:
    answer = http.get(f"/v1/prompts/{version}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_cannot_be_a_version_is_refused_by_name(http: httpx2.Client) -> None:
    assert http.get(f"/v1/prompts/{'a' * 201}").json()["errors"][0]["loc"] == "version"
    assert http.get("/v1/prompts/%00").json()["errors"][0]["loc"] == "version"
    assert http.get("/v1/prompts?job=mine").json()["errors"][0]["loc"] == "job"
    assert http.get("/v1/prompts?colour=red").json()["errors"][0]["loc"] == "colour"


async def test_a_submission_keeps_the_versions_of_its_stages(
    http: httpx2.Client, engine: AsyncEngine, spec: Spec
) -> None:
    http.post("/v1/jobs", json=spec).raise_for_status()
    async with engine.connect() as conn:
        stored = {row.version: row.files for row in await conn.execute(text("SELECT * FROM prompt_version"))}
    words = wording("generate")
    assert stored[words.version] == dict(words.files)
    assert wording("validate").version not in stored
    first = versions(http)[0]["first_used_at"]
    http.post("/v1/jobs", json={**spec, "dataset": f"{spec['dataset']}-2"}).raise_for_status()
    assert versions(http)[0]["first_used_at"] == first is not None


async def test_a_refused_submission_keeps_nothing(http: httpx2.Client, engine: AsyncEngine, spec: Spec) -> None:
    async with engine.begin() as conn:
        await conn.execute(text("DELETE FROM prompt_version WHERE stage = 'generate'"))
    wrong = {**spec, "models": {"generate": {"easy": "nobody/nothing"}}}
    assert http.post("/v1/jobs", json=wrong).status_code == 422
    assert versions(http)[0]["first_used_at"] is None


async def test_a_jobs_versions_are_those_of_its_calls(http: httpx2.Client, engine: AsyncEngine, spec: Spec) -> None:
    job_id = http.post("/v1/jobs", json=spec).raise_for_status().json()["id"]
    assert versions(http, job=job_id) == []
    now = wording("generate").version
    async with engine.begin() as conn:
        await conn.execute(ADD_CALLS, {"job_id": job_id, "old": "generate-1-0000f00d", "now": now})
    found = [(each["version"], each["calls"], each["current"]) for each in versions(http, job=job_id)]
    assert found == [("generate-1-0000f00d", 1, False), (now, 2, True)]
    async with engine.begin() as conn:
        await conn.execute(text("DELETE FROM call WHERE job_id = CAST(:job_id AS uuid)"), {"job_id": job_id})
        await conn.execute(ADD_QUESTION, {"job_id": job_id, "version": f"{now}+atlas-12345678"})
    assert [(each["version"], each["calls"]) for each in versions(http, job=job_id)] == [(now, None)]
    unknown = http.get("/v1/prompts", params={"job": "01a20549-ae09-7642-8d1f-07f809ee5e50"})
    assert unknown.status_code == 404
