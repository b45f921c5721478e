"""The versions of the prompts that jobs were made with: their files are kept, so that people can read and compare them.

What is asked with a user's own atlas has a version such as "generate-1-4d85482a+atlas-0c9f1a2b"; the part from the plus
sign on names the atlas, which the job's spec keeps.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.errors import NotFound
from shared.ids import JobId
from shared.questions.wording import STAGES, Wording, wording

STORE = text("""
INSERT INTO prompt_version (version, stage, files) VALUES (:version, :stage, CAST(:files AS jsonb))
ON CONFLICT (version) DO NOTHING
""")
ALL = text("SELECT version, stage, first_used_at FROM prompt_version ORDER BY first_used_at DESC, version")
READ = text("SELECT version, stage, files, first_used_at FROM prompt_version WHERE version = :version")
JOB_EXISTS = text("SELECT 1 FROM job WHERE id = :job_id")
OF_CALLS = text("""
SELECT split_part(prompt ->> 'version', '+', 1) AS version, stage, COUNT(*) AS calls FROM call
WHERE job_id = :job_id AND prompt ->> 'version' IS NOT NULL GROUP BY 1, 2 ORDER BY MIN(sent_at), 1
""")
# Of a job whose ledger was deleted: what its calls led to still says how it was asked for.
OF_ROWS = text("""
SELECT DISTINCT split_part(prompt_version, '+', 1) AS version, stage, NULL::bigint AS calls FROM (
    SELECT question.prompt_version, 'generate' AS stage FROM question JOIN job USING (dataset_id)
        WHERE job.id = :job_id AND question.job_id = :job_id
    UNION ALL SELECT prompt_version, 'validate' FROM verdict WHERE job_id = :job_id
    UNION ALL SELECT prompt_version, 'answer' FROM answer WHERE job_id = :job_id) AS used
WHERE prompt_version IS NOT NULL ORDER BY 2, 1
""")


async def store_versions(conn: AsyncConnection, stages: Iterable[str]) -> None:
    """Keep the files of these stages' present prompts, in the caller's transaction."""
    for stage in stages:
        words = wording(stage)
        files = orjson.dumps(dict(words.files)).decode()
        await conn.execute(STORE, {"version": words.version, "stage": words.stage, "files": files})


async def list_versions(engine: AsyncEngine) -> list[dict[str, Any]]:
    """The present version of every stage, then those that were used before, the latest first."""
    async with engine.connect() as conn:
        rows = (await conn.execute(ALL)).all()
    used = {row.version: row.first_used_at for row in rows}
    listed = [_describe(words.version, words.stage, used.get(words.version)) for words in map(wording, STAGES)]
    return listed + [_describe(*row) for row in rows if not _is_current(row.version)]


async def list_job_versions(engine: AsyncEngine, job_id: JobId) -> list[dict[str, Any]]:
    """The versions that a job's calls were made with, in the order of their first calls.

    `calls` counts them; it is None once the ledger was deleted. Raises NotFound.
    """
    async with engine.connect() as conn:
        if (await conn.execute(JOB_EXISTS, {"job_id": job_id})).one_or_none() is None:
            raise NotFound(f"there is no job {job_id}")
        rows = (await conn.execute(OF_CALLS, {"job_id": job_id})).all()
        rows = rows or (await conn.execute(OF_ROWS, {"job_id": job_id})).all()
        used = {row.version: row.first_used_at for row in (await conn.execute(ALL)).all()}
    return [{**_describe(row.version, row.stage, used.get(row.version)), "calls": row.calls} for row in rows]


async def read_version(engine: AsyncEngine, version: str) -> dict[str, Any]:
    """One version with the text of its files by name. Raises NotFound."""
    base = version.partition("+")[0]
    async with engine.connect() as conn:
        row = (await conn.execute(READ, {"version": base})).one_or_none()
    current = _current(base)
    if current is not None:
        used = row.first_used_at if row else None
        return {**_describe(base, current.stage, used), "files": dict(current.files)}
    if row is None:
        raise NotFound(f"no prompts of version {version} are stored here; GET /v1/prompts lists those that are")
    # jsonb keeps no order.
    return {**_describe(base, row.stage, row.first_used_at), "files": dict(sorted(row.files.items()))}


def _describe(version: str, stage: str, first_used_at: object) -> dict[str, Any]:
    return {
        "version": version,
        "stage": stage,
        "current": _is_current(version),
        "first_used_at": first_used_at,
    }


def _is_current(version: str) -> bool:
    return _current(version) is not None


def _current(version: str) -> Wording | None:
    return next((words for words in map(wording, STAGES) if words.version == version), None)
