"""tallies: counts of questions, batches and calls that are kept as the rows change"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What a batch adds to the counts of its job and cell, in one place for the trigger, the view and the first count.
COUNT_BATCH = """
CREATE FUNCTION count_batch(state text, generated int, admitted int, rejected jsonb, repaired jsonb)
RETURNS TABLE (what text, name text, n bigint) LANGUAGE sql IMMUTABLE AS $$
    SELECT 'batches', state, 1::bigint
    UNION ALL SELECT 'generated', '', generated::bigint
    UNION ALL SELECT 'admitted', '', admitted::bigint
    UNION ALL SELECT 'rejected', key, value::bigint FROM jsonb_each_text(rejected)
    UNION ALL SELECT 'repaired', key, value::bigint FROM jsonb_each_text(repaired)
$$
"""

# Questions come and go by statements of many: one change per cell and state, whatever the number of rows.
NOTE_QUESTIONS = """
CREATE FUNCTION note_question_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO question_change (dataset_id, domain, difficulty, state, questions, prompt_tokens)
        SELECT dataset_id, domain, difficulty, state, COUNT(*), SUM(prompt_tokens)
        FROM came GROUP BY 1, 2, 3, 4;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO question_change (dataset_id, domain, difficulty, state, questions, prompt_tokens)
        SELECT dataset_id, domain, difficulty, state, -COUNT(*), -SUM(prompt_tokens)
        FROM went WHERE EXISTS (SELECT FROM dataset WHERE id = dataset_id) GROUP BY 1, 2, 3, 4;
    ELSE
        INSERT INTO question_change (dataset_id, domain, difficulty, state, questions, prompt_tokens)
        SELECT dataset_id, domain, difficulty, state, SUM(n), SUM(n * prompt_tokens)
        FROM (SELECT dataset_id, domain, difficulty, state, prompt_tokens, 1 AS n FROM came
              UNION ALL SELECT dataset_id, domain, difficulty, state, prompt_tokens, -1 FROM went) AS changed
        GROUP BY 1, 2, 3, 4 HAVING SUM(n) <> 0 OR SUM(n * prompt_tokens) <> 0;
    END IF;
    RETURN NULL;
END $$
"""

# Row by row, behind a WHEN that keeps it from most updates: those of open batches, which are counted from their rows.
NOTE_BATCH = """
CREATE FUNCTION note_batch_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state NOT IN ('pending', 'leased') THEN
        INSERT INTO batch_change (job_id, stage, domain, difficulty, what, name, n)
        SELECT OLD.job_id, OLD.stage, OLD.domain, OLD.difficulty, what, name, -n
        FROM count_batch(OLD.state, OLD.generated, OLD.admitted, OLD.rejected, OLD.repaired) WHERE n <> 0;
    END IF;
    IF NEW.state NOT IN ('pending', 'leased') THEN
        INSERT INTO batch_change (job_id, stage, domain, difficulty, what, name, n)
        SELECT NEW.job_id, NEW.stage, NEW.domain, NEW.difficulty, what, name, n
        FROM count_batch(NEW.state, NEW.generated, NEW.admitted, NEW.rejected, NEW.repaired) WHERE n <> 0;
    END IF;
    RETURN NULL;
END $$
"""
NOTE_BATCHES_GONE = """
CREATE FUNCTION note_batches_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO batch_change (job_id, stage, domain, difficulty, what, name, n)
    SELECT went.job_id, went.stage, went.domain, went.difficulty, counted.what, counted.name, -SUM(counted.n)
    FROM went CROSS JOIN LATERAL count_batch(state, generated, admitted, rejected, repaired) AS counted
    WHERE went.state NOT IN ('pending', 'leased') AND counted.n <> 0
        AND EXISTS (SELECT FROM job WHERE id = went.job_id)
    GROUP BY 1, 2, 3, 4, 5, 6;
    RETURN NULL;
END $$
"""

# The same for calls: of the writes that a call takes only the one that settles it gets past the WHEN.
NOTE_CALL = """
CREATE FUNCTION note_call_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'sent' THEN
        INSERT INTO call_change (job_id, state, outcome, again, calls, input_tokens, output_tokens)
        VALUES (OLD.job_id, OLD.state, COALESCE(OLD.outcome, 'in flight'), OLD.attempt > 1, -1,
            -COALESCE(OLD.input_tokens, 0), -COALESCE(OLD.output_tokens, 0));
    END IF;
    IF NEW.state <> 'sent' THEN
        INSERT INTO call_change (job_id, state, outcome, again, calls, input_tokens, output_tokens)
        VALUES (NEW.job_id, NEW.state, COALESCE(NEW.outcome, 'in flight'), NEW.attempt > 1, 1,
            COALESCE(NEW.input_tokens, 0), COALESCE(NEW.output_tokens, 0));
    END IF;
    RETURN NULL;
END $$
"""
NOTE_CALLS_GONE = """
CREATE FUNCTION note_calls_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO call_change (job_id, state, outcome, again, calls, input_tokens, output_tokens)
    SELECT job_id, state, COALESCE(outcome, 'in flight'), attempt > 1, -COUNT(*),
        -SUM(COALESCE(input_tokens, 0)), -SUM(COALESCE(output_tokens, 0))
    FROM went WHERE state <> 'sent' AND EXISTS (SELECT FROM job WHERE id = went.job_id) GROUP BY 1, 2, 3, 4;
    RETURN NULL;
END $$
"""

# With the dataset or the job goes everything counted of it; the changes first, as whoever folds them takes them. What a
# cascade deletes is told after that: then the owner is gone, and nothing is noted.
FORGET = (
    """
CREATE FUNCTION forget_dataset_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM question_change WHERE dataset_id = OLD.id;
    DELETE FROM question_tally WHERE dataset_id = OLD.id;
    RETURN NULL;
END $$
""",
    """
CREATE FUNCTION forget_job_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM batch_change WHERE job_id = OLD.id;
    DELETE FROM batch_tally WHERE job_id = OLD.id;
    DELETE FROM call_change WHERE job_id = OLD.id;
    DELETE FROM call_tally WHERE job_id = OLD.id;
    RETURN NULL;
END $$
""",
    """
CREATE FUNCTION forget_all_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM %I', TG_TABLE_NAME || '_change');
    EXECUTE format('DELETE FROM %I', TG_TABLE_NAME || '_tally');
    RETURN NULL;
END $$
""",
)

# Triggers of one event fire in the order of their names, capitals first: RI_..., which delete what belongs to a row
# and wait for those who still write it, and then these.
TRIGGERS = (
    """
CREATE TRIGGER tally_insert AFTER INSERT ON question REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION note_question_change()
""",
    """
CREATE TRIGGER tally_update AFTER UPDATE ON question REFERENCING OLD TABLE AS went NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION note_question_change()
""",
    """
CREATE TRIGGER tally_delete AFTER DELETE ON question REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION note_question_change()
""",
    """
CREATE TRIGGER tally_insert AFTER INSERT ON batch
    FOR EACH ROW WHEN (NEW.state NOT IN ('pending', 'leased')) EXECUTE FUNCTION note_batch_change()
""",
    """
CREATE TRIGGER tally_update AFTER UPDATE ON batch
    FOR EACH ROW WHEN (OLD.state NOT IN ('pending', 'leased') OR NEW.state NOT IN ('pending', 'leased'))
    EXECUTE FUNCTION note_batch_change()
""",
    """
CREATE TRIGGER tally_delete AFTER DELETE ON batch REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION note_batches_gone()
""",
    """
CREATE TRIGGER tally_insert AFTER INSERT ON call
    FOR EACH ROW WHEN (NEW.state <> 'sent') EXECUTE FUNCTION note_call_change()
""",
    """
CREATE TRIGGER tally_update AFTER UPDATE ON call
    FOR EACH ROW WHEN (
        (OLD.state, OLD.outcome, OLD.attempt, OLD.input_tokens, OLD.output_tokens)
        IS DISTINCT FROM (NEW.state, NEW.outcome, NEW.attempt, NEW.input_tokens, NEW.output_tokens))
    EXECUTE FUNCTION note_call_change()
""",
    """
CREATE TRIGGER tally_delete AFTER DELETE ON call REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION note_calls_gone()
""",
    """
CREATE TRIGGER tally_truncate AFTER TRUNCATE ON question FOR EACH STATEMENT EXECUTE FUNCTION forget_all_counts()
""",
    """
CREATE TRIGGER tally_truncate AFTER TRUNCATE ON batch FOR EACH STATEMENT EXECUTE FUNCTION forget_all_counts()
""",
    """
CREATE TRIGGER tally_truncate AFTER TRUNCATE ON call FOR EACH STATEMENT EXECUTE FUNCTION forget_all_counts()
""",
    """
CREATE TRIGGER tally_delete AFTER DELETE ON dataset FOR EACH ROW EXECUTE FUNCTION forget_dataset_counts()
""",
    """
CREATE TRIGGER tally_delete AFTER DELETE ON job FOR EACH ROW EXECUTE FUNCTION forget_job_counts()
""",
)

# What readers ask: the folded counts, the changes since, and the few rows that are counted as they are.
VIEWS = (
    """
CREATE VIEW question_count AS
SELECT dataset_id, domain, difficulty, state, SUM(questions)::bigint AS questions,
    SUM(prompt_tokens)::bigint AS prompt_tokens
FROM (
    SELECT dataset_id, domain, difficulty, state, questions, prompt_tokens FROM question_tally
    UNION ALL SELECT dataset_id, domain, difficulty, state, questions, prompt_tokens FROM question_change) AS noted
GROUP BY 1, 2, 3, 4 HAVING SUM(questions) <> 0
""",
    """
CREATE VIEW batch_count AS
SELECT job_id, stage, domain, difficulty, what, name, SUM(n)::bigint AS n
FROM (
    SELECT job_id, stage, domain, difficulty, what, name, n FROM batch_tally
    UNION ALL SELECT job_id, stage, domain, difficulty, what, name, n FROM batch_change
    UNION ALL SELECT job_id, stage, domain, difficulty, counted.what, counted.name, counted.n
    FROM (
        SELECT job_id, stage, domain, difficulty, state, COUNT(*) AS batches, SUM(generated) AS generated,
            SUM(admitted) AS admitted
        FROM batch WHERE state IN ('pending', 'leased') GROUP BY 1, 2, 3, 4, 5) AS opened
    CROSS JOIN LATERAL (
        VALUES ('batches', state, batches), ('generated', '', generated), ('admitted', '', admitted)
    ) AS counted (what, name, n)
    UNION ALL SELECT job_id, stage, domain, difficulty, 'rejected', key, value::bigint
    FROM batch CROSS JOIN LATERAL jsonb_each_text(rejected)
    WHERE state IN ('pending', 'leased') AND rejected <> '{}'
    UNION ALL SELECT job_id, stage, domain, difficulty, 'repaired', key, value::bigint
    FROM batch CROSS JOIN LATERAL jsonb_each_text(repaired)
    WHERE state IN ('pending', 'leased') AND repaired <> '{}') AS noted
GROUP BY 1, 2, 3, 4, 5, 6 HAVING SUM(n) <> 0
""",
    """
CREATE VIEW call_count AS
SELECT job_id, state, outcome, again, SUM(calls)::bigint AS calls, SUM(input_tokens)::bigint AS input_tokens,
    SUM(output_tokens)::bigint AS output_tokens
FROM (
    SELECT job_id, state, outcome, again, calls, input_tokens, output_tokens FROM call_tally
    UNION ALL SELECT job_id, state, outcome, again, calls, input_tokens, output_tokens FROM call_change
    UNION ALL SELECT job_id, state, COALESCE(outcome, 'in flight'), attempt > 1, 1, COALESCE(input_tokens, 0),
        COALESCE(output_tokens, 0)
    FROM call WHERE state = 'sent') AS noted
GROUP BY 1, 2, 3, 4 HAVING SUM(calls) <> 0
""",
)

# The triggers' creation has locked the three tables against writers: nothing is missed and nothing counted twice.
FIRST_COUNT = (
    """
INSERT INTO question_tally (dataset_id, domain, difficulty, state, questions, prompt_tokens)
SELECT dataset_id, domain, difficulty, state, COUNT(*), SUM(prompt_tokens) FROM question GROUP BY 1, 2, 3, 4
""",
    """
INSERT INTO batch_tally (job_id, stage, domain, difficulty, what, name, n)
SELECT job_id, stage, domain, difficulty, counted.what, counted.name, SUM(counted.n)
FROM batch CROSS JOIN LATERAL count_batch(state, generated, admitted, rejected, repaired) AS counted
WHERE batch.state NOT IN ('pending', 'leased') AND counted.n <> 0 GROUP BY 1, 2, 3, 4, 5, 6
""",
    """
INSERT INTO call_tally (job_id, state, outcome, again, calls, input_tokens, output_tokens)
SELECT job_id, state, COALESCE(outcome, 'in flight'), attempt > 1, COUNT(*), SUM(COALESCE(input_tokens, 0)),
    SUM(COALESCE(output_tokens, 0))
FROM call WHERE state <> 'sent' GROUP BY 1, 2, 3, 4
""",
)


def _pair(name: str, keys: dict[str, TypeEngine[Any]], sums: list[str]) -> None:
    """NAME_tally, one row per key, and NAME_change, which only grows until it is folded into that."""

    def columns() -> list[sa.Column[Any]]:
        types = keys | dict.fromkeys(sums, sa.BigInteger())
        return [sa.Column(column, kind, nullable=False) for column, kind in types.items()]

    op.create_table(f"{name}_tally", *columns(), sa.PrimaryKeyConstraint(*keys, name=op.f(f"pk_{name}_tally")))
    op.create_table(f"{name}_change", *columns())


def upgrade() -> None:
    text = sa.Text()
    cell = {"domain": text, "difficulty": text}
    _pair("question", {"dataset_id": sa.Integer(), **cell, "state": text}, ["questions", "prompt_tokens"])
    _pair("batch", {"job_id": sa.Uuid(), "stage": text, **cell, "what": text, "name": text}, ["n"])
    _pair(
        "call",
        {"job_id": sa.Uuid(), "state": text, "outcome": text, "again": sa.Boolean()},
        ["calls", "input_tokens", "output_tokens"],
    )
    for function in (COUNT_BATCH, NOTE_QUESTIONS, NOTE_BATCH, NOTE_BATCHES_GONE, NOTE_CALL, NOTE_CALLS_GONE, *FORGET):
        op.execute(function)
    for statement in (*TRIGGERS, *VIEWS, *FIRST_COUNT):
        op.execute(statement)
    # What is listed and looked up is found without reading what is not.
    op.create_index("ix_job_dataset_id_id", "job", ["dataset_id", "id"])
    op.create_index("ix_batch_job_id_id", "batch", ["job_id", "id"])
    op.create_index("ix_batch_job_id_state_id", "batch", ["job_id", "state", "id"])
    op.create_index(
        "ix_batch_evidence",
        "batch",
        ["job_id", "stage", "domain", "difficulty", "number"],
        postgresql_where=sa.text("state IN ('done', 'parked')"),
    )
    op.create_index(
        "ix_batch_finished", "batch", ["job_id", "finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.drop_index("ix_call_sent", table_name="call")
    op.create_index("ix_call_sent", "call", ["job_id", "sent_at"], postgresql_where=sa.text("state = 'sent'"))
    op.create_index(
        "ix_call_failed", "call", ["job_id", "state", "id"], postgresql_where=sa.text("state IN ('failed', 'unknown')")
    )


def downgrade() -> None:
    op.drop_index("ix_call_failed", table_name="call")
    op.drop_index("ix_call_sent", table_name="call")
    op.create_index("ix_call_sent", "call", ["sent_at"], postgresql_where=sa.text("state = 'sent'"))
    for name in ("ix_batch_finished", "ix_batch_evidence", "ix_batch_job_id_state_id", "ix_batch_job_id_id"):
        op.drop_index(name, table_name="batch")
    op.drop_index("ix_job_dataset_id_id", table_name="job")
    for name in ("question", "batch", "call"):
        op.execute(f"DROP VIEW {name}_count")
    for name in ("note_question_change", "note_batch_change", "note_batches_gone", "note_call_change"):
        op.execute(f"DROP FUNCTION {name}() CASCADE")
    for name in ("note_calls_gone", "forget_dataset_counts", "forget_job_counts", "forget_all_counts"):
        op.execute(f"DROP FUNCTION {name}() CASCADE")
    op.execute("DROP FUNCTION count_batch")
    for name in ("question", "batch", "call"):
        op.drop_table(f"{name}_change")
        op.drop_table(f"{name}_tally")
