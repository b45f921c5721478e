"""Every CHECK constraint refuses a row that breaks it; the migrations lead to the schema that the code describes."""

import re

import pytest
from alembic import command
from sqlalchemy import CheckConstraint
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.database.schema import alembic_config
from shared.database.tables import metadata
from shared.ids import JobId
from tests.service.jobs.world import add_call, add_questions, execute, held_batch

# One change per constraint that breaks it and nothing else, on a running job with a held batch, a paid call and a
# baseline question.
BROKEN = {
    "ck_job_state_known": "UPDATE job SET state = 'asleep'",
    "ck_job_finished_at_iff_ended": "UPDATE job SET finished_at = now()",
    "ck_job_reason_given": "UPDATE job SET state = 'paused'",
    "ck_job_budget_not_negative": "UPDATE job_budget SET held_usd = -0.01",
    "ck_job_cell_target_not_negative": "UPDATE job_cell SET target = -1",
    "ck_batch_state_known": "UPDATE batch SET state = 'asleep', lease_until = NULL",
    "ck_batch_stage_known": "UPDATE batch SET stage = 'dream'",
    "ck_batch_lease_iff_leased": "UPDATE batch SET lease_until = NULL WHERE state = 'leased'",
    "ck_batch_finished_at_iff_ended": "UPDATE batch SET finished_at = now()",
    "ck_batch_reason_given": "UPDATE batch SET state = 'parked', lease_until = NULL, finished_at = now()",
    "ck_batch_leased_has_fence": "UPDATE batch SET fence = 0 WHERE state = 'leased'",
    "ck_batch_not_empty": "UPDATE batch SET calls = 0",
    "ck_batch_in_bulk_is_pending": "UPDATE batch SET in_bulk = true WHERE state = 'leased'",
    "ck_batch_ordinals_whole": "UPDATE batch SET ordinals = ARRAY[7]",
    "ck_prompt_version_stage_known": """INSERT INTO prompt_version (version, stage, files)
        VALUES ('dream-1', 'dream', '{}')""",
    "ck_topic_yield_recent_is_share": """INSERT INTO topic_yield SELECT id, 'math', 'easy', 'sets', 20, 30, 1.5, 0, 0
        FROM dataset""",
    "ck_call_state_known": "UPDATE call SET state = 'asleep'",
    "ck_call_settled_at_iff_settled": "UPDATE call SET settled_at = NULL",
    "ck_call_cost_iff_settled": "UPDATE call SET cost_usd = NULL",
    "ck_call_raw_before_parse": "UPDATE call SET raw = NULL",
    "ck_bulk_submission_state_known": "UPDATE bulk_submission SET state = 'asleep'",
    "ck_bulk_submission_not_empty": "UPDATE bulk_submission SET requests = 0",
    "ck_bulk_submission_provider_id_known": "UPDATE bulk_submission SET provider_id = NULL, submitted_at = NULL",
    "ck_bulk_submission_submitted_at_iff_known": "UPDATE bulk_submission SET submitted_at = NULL",
    "ck_bulk_submission_ended_at_iff_over": "UPDATE bulk_submission SET ended_at = now()",
    "ck_bulk_submission_detail_given": "UPDATE bulk_submission SET state = 'failed', ended_at = now()",
    "ck_question_state_known": "UPDATE question SET state = 'asleep'",
    "ck_question_reason_given": "UPDATE question SET state = 'rejected'",
    "ck_question_text_hash_16": r"UPDATE question SET text_hash = '\x00'",
    "ck_question_provenance_whole": "UPDATE question SET model = 'openai/x'",
    "ck_incident_kind_known": """INSERT INTO incident (job_id, batch_id, kind, fence)
        SELECT job_id, id, 'yawned', 1 FROM batch""",
    "ck_contamination_kind_known": """INSERT INTO contamination (question_id, benchmark, dataset_id, reference, kind,
            score) SELECT id, 'b', dataset_id, '1', 'vague', 1 FROM question""",
    "ck_job_archive_not_negative": """INSERT INTO job_archive (job_id, progress, calls, spent_usd)
        SELECT id, '{}', -1, 0 FROM job""",
    "ck_notification_event_known": "INSERT INTO notification (job_id, event) SELECT id, 'running' FROM job",
    "ck_notification_state_known": """INSERT INTO notification (job_id, event, state, ended_at)
        SELECT id, 'paused', 'lost', now() FROM job""",
    "ck_notification_ended_at_iff_over": """INSERT INTO notification (job_id, event, state)
        SELECT id, 'paused', 'delivered' FROM job""",
    "ck_api_key_scope_known": "INSERT INTO api_key (name, scope, secret_hash) VALUES ('k', 'root', sha256('k'))",
    "ck_api_key_secret_hash_32": "INSERT INTO api_key (name, scope, secret_hash) VALUES ('k', 'read', 'qm_k')",
    "ck_api_key_requests_positive": """INSERT INTO api_key (name, scope, secret_hash, requests_per_minute)
        VALUES ('k', 'read', sha256('k'), 0)""",
    "ck_api_key_quotas_not_negative": """INSERT INTO api_key (name, scope, secret_hash, most_usd)
        VALUES ('k', 'read', sha256('k'), -1)""",
    # Not CHECKs, but promises that an index keeps.
    "uq_job_unfinished": """INSERT INTO job (id, dataset_id, spec, seed, request_hash)
        SELECT gen_random_uuid(), dataset_id, '{}', 1, '' FROM job""",
    "uq_question_text_hash": """INSERT INTO question (dataset_id, domain, difficulty, text, text_hash, template_hash,
            signature_version, prompt_tokens, tokenizer)
        SELECT dataset_id, domain, difficulty, text, text_hash, 0, 1, 1, 'o200k_base' FROM question""",
    "uq_api_key_name_in_force": """INSERT INTO api_key (name, scope, secret_hash)
        SELECT 'k', 'read', sha256(CAST(n AS text)::bytea) FROM generate_series(1, 2) AS n""",
    "uq_batch_job_id_stage_domain_difficulty_number": "UPDATE batch SET number = 1",
    "uq_bulk_submission_unfinished": """INSERT INTO bulk_submission (id, job_id, batch_id, provider, model, requests)
        SELECT gen_random_uuid(), job_id, batch_id, provider, model, 1 FROM bulk_submission""",
    "uq_bulk_submission_provider_id": """INSERT INTO bulk_submission (id, job_id, batch_id, provider, model, requests,
            state, provider_id, submitted_at)
        SELECT gen_random_uuid(), job_id, batch_id, provider, 'openai/y', 1, state, provider_id, now()
        FROM bulk_submission""",
    "uq_call_batch_id_ordinal_attempt": """INSERT INTO call (id, job_id, batch_id, ordinal, attempt, fence, model,
            prompt, worst_usd)
        SELECT gen_random_uuid(), job_id, batch_id, ordinal, attempt, fence, model, '{}', 0 FROM call""",
}

SUBMITTED = """
INSERT INTO bulk_submission (id, job_id, batch_id, provider, model, requests, state, provider_id, submitted_at)
SELECT gen_random_uuid(), job_id, id, 'openai', 'openai/x', 1, 'submitted', 'batch_1', now() FROM batch
WHERE state = 'leased'
"""


def test_every_check_has_its_counterexample() -> None:
    named = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert named == {name for name in BROKEN if name.startswith("ck_")}


@pytest.mark.parametrize("constraint", BROKEN)
async def test_a_row_that_breaks_it_is_refused(
    engine: AsyncEngine, job_id: JobId, dataset: str, constraint: str
) -> None:
    try:
        await add_call(engine, (await held_batch(engine, job_id)).hold)
        await execute(engine, SUBMITTED)
        await add_questions(engine, dataset, ["What is one plus one?"])
        with pytest.raises(IntegrityError, match=re.escape(f'"{constraint}"')):
            await execute(engine, BROKEN[constraint])
    finally:
        await execute(engine, "TRUNCATE dataset CASCADE")


def test_migrations_lead_up_to_the_schema_and_down_and_up_again(empty_database: str) -> None:
    config = alembic_config(empty_database)
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "-1")
    command.upgrade(config, "head")
    command.check(config)
