"""stages: verdicts, answers, and counts of what is validated, answered and spent"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NO: dict[str, Any] = {"server_default": "false", "nullable": False}
NONE: dict[str, Any] = {"server_default": "0", "nullable": False}
QUESTION_STATES = "state IN ('selected', 'reserve', 'discarded', 'rejected')"
OLD_QUESTION_STATES = "state IN ('selected', 'reserve', 'discarded')"

# What a question adds to the sums of its cell and state, beside itself.
OF_QUESTION = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "COALESCE(completion_tokens, 0)",
    "validated": "validated::int",
    "answered": "answered::int",
}
OF_QUESTION_BEFORE = {"prompt_tokens": "prompt_tokens"}


def note_questions(sums: dict[str, str]) -> str:
    """The trigger of 0004 with these sums: one change per cell and state, whatever the number of rows."""
    names = ", ".join(["questions", *sums])
    added = ", ".join(["COUNT(*)", *(f"SUM({each})" for each in sums.values())])
    taken = ", ".join(["-COUNT(*)", *(f"-SUM({each})" for each in sums.values())])
    turned = ["SUM(n)", *(f"SUM(n * {name})" for name in sums)]
    each = ", ".join(f"{value} AS {name}" for name, value in sums.items())
    return f"""
CREATE OR REPLACE FUNCTION note_question_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO question_change (dataset_id, domain, difficulty, state, {names})
        SELECT dataset_id, domain, difficulty, state, {added}
        FROM came GROUP BY 1, 2, 3, 4;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO question_change (dataset_id, domain, difficulty, state, {names})
        SELECT dataset_id, domain, difficulty, state, {taken}
        FROM went WHERE EXISTS (SELECT FROM dataset WHERE id = dataset_id) GROUP BY 1, 2, 3, 4;
    ELSE
        INSERT INTO question_change (dataset_id, domain, difficulty, state, {names})
        SELECT dataset_id, domain, difficulty, state, {", ".join(turned)}
        FROM (SELECT dataset_id, domain, difficulty, state, {each}, 1 AS n FROM came
              UNION ALL SELECT dataset_id, domain, difficulty, state, {each}, -1 FROM went) AS changed
        GROUP BY 1, 2, 3, 4 HAVING {" OR ".join(f"{total} <> 0" for total in turned)};
    END IF;
    RETURN NULL;
END $$
"""  # noqa: S608 - all parts are constants of this module


def question_count(sums: dict[str, str], verb: str) -> str:
    names = ", ".join(["questions", *sums])
    return f"""
{verb} VIEW question_count AS
SELECT dataset_id, domain, difficulty, state, SUM(questions)::bigint AS questions,
    {", ".join(f"SUM({name})::bigint AS {name}" for name in sums)}
FROM (
    SELECT dataset_id, domain, difficulty, state, {names} FROM question_tally
    UNION ALL SELECT dataset_id, domain, difficulty, state, {names} FROM question_change) AS noted
GROUP BY 1, 2, 3, 4 HAVING SUM(questions) <> 0
"""  # noqa: S608 - as above


NOTE_CALL = """
CREATE OR REPLACE FUNCTION note_call_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'sent' THEN
        INSERT INTO call_change (job_id, stage, difficulty, state, outcome, again, calls, input_tokens, output_tokens,
            pico_usd)
        VALUES (OLD.job_id, OLD.stage, OLD.difficulty, OLD.state, COALESCE(OLD.outcome, 'in flight'), OLD.attempt > 1,
            -1, -COALESCE(OLD.input_tokens, 0), -COALESCE(OLD.output_tokens, 0), -COALESCE(OLD.cost_usd, 0) * 1e12);
    END IF;
    IF NEW.state <> 'sent' THEN
        INSERT INTO call_change (job_id, stage, difficulty, state, outcome, again, calls, input_tokens, output_tokens,
            pico_usd)
        VALUES (NEW.job_id, NEW.stage, NEW.difficulty, NEW.state, COALESCE(NEW.outcome, 'in flight'), NEW.attempt > 1,
            1, COALESCE(NEW.input_tokens, 0), COALESCE(NEW.output_tokens, 0), COALESCE(NEW.cost_usd, 0) * 1e12);
    END IF;
    RETURN NULL;
END $$
"""
NOTE_CALLS_GONE = """
CREATE OR REPLACE FUNCTION note_calls_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO call_change (job_id, stage, difficulty, state, outcome, again, calls, input_tokens, output_tokens,
        pico_usd)
    SELECT job_id, stage, difficulty, state, COALESCE(outcome, 'in flight'), attempt > 1, -COUNT(*),
        -SUM(COALESCE(input_tokens, 0)), -SUM(COALESCE(output_tokens, 0)), -SUM(COALESCE(cost_usd, 0)) * 1e12
    FROM went WHERE state <> 'sent' AND EXISTS (SELECT FROM job WHERE id = went.job_id) GROUP BY 1, 2, 3, 4, 5, 6;
    RETURN NULL;
END $$
"""
CALL_COUNT = """
CREATE VIEW call_count AS
SELECT job_id, stage, difficulty, state, outcome, again, SUM(calls)::bigint AS calls,
    SUM(input_tokens)::bigint AS input_tokens, SUM(output_tokens)::bigint AS output_tokens,
    SUM(pico_usd)::bigint AS pico_usd
FROM (
    SELECT job_id, stage, difficulty, state, outcome, again, calls, input_tokens, output_tokens, pico_usd
    FROM call_tally
    UNION ALL SELECT job_id, stage, difficulty, state, outcome, again, calls, input_tokens, output_tokens, pico_usd
    FROM call_change
    UNION ALL SELECT job_id, stage, difficulty, state, COALESCE(outcome, 'in flight'), attempt > 1, 1,
        COALESCE(input_tokens, 0), COALESCE(output_tokens, 0), 0
    FROM call WHERE state = 'sent') AS noted
GROUP BY 1, 2, 3, 4, 5, 6 HAVING SUM(calls) <> 0
"""
# What was counted before is counted again, by stage and difficulty: nobody writes meanwhile.
COUNT_CALLS_AGAIN = """
INSERT INTO call_tally (job_id, stage, difficulty, state, outcome, again, calls, input_tokens, output_tokens, pico_usd)
SELECT job_id, stage, difficulty, state, COALESCE(outcome, 'in flight'), attempt > 1, COUNT(*),
    SUM(COALESCE(input_tokens, 0)), SUM(COALESCE(output_tokens, 0)), SUM(COALESCE(cost_usd, 0)) * 1e12
FROM call WHERE state <> 'sent' GROUP BY 1, 2, 3, 4, 5, 6
"""
CALL_TRIGGER = """
CREATE OR REPLACE TRIGGER tally_update AFTER UPDATE ON call
    FOR EACH ROW WHEN (
        (OLD.state, OLD.outcome, OLD.attempt, OLD.input_tokens, OLD.output_tokens{more_old})
        IS DISTINCT FROM (NEW.state, NEW.outcome, NEW.attempt, NEW.input_tokens, NEW.output_tokens{more_new}))
    EXECUTE FUNCTION note_call_change()
"""
PLACED = """
UPDATE call SET stage = batch.stage, difficulty = batch.difficulty FROM batch WHERE batch.id = call.batch_id
"""


def upgrade() -> None:
    op.execute("LOCK TABLE question, batch, call IN SHARE ROW EXCLUSIVE MODE")
    for column in (
        sa.Column("reason", sa.Text(), comment="why a judge rejected it, or why it has no answer"),
        sa.Column("validated", sa.Boolean(), **NO, comment="by all judges that were asked for"),
        sa.Column("answered", sa.Boolean(), **NO, comment="as often as was asked for"),
        sa.Column("tries", sa.SmallInteger(), **NONE, comment="calls of its stage that were no use"),
        sa.Column("prompt_version", sa.Text()),
    ):
        op.add_column("question", column)
    op.alter_column("question", "completion_tokens", comment="of its first answer")
    op.drop_constraint(op.f("ck_question_state_known"), "question")
    op.create_check_constraint(op.f("ck_question_state_known"), "question", QUESTION_STATES)
    op.create_check_constraint(
        op.f("ck_question_reason_given"), "question", "state <> 'rejected' OR reason IS NOT NULL"
    )
    op.create_index(
        "ix_question_unfinished",
        "question",
        ["dataset_id", "domain", "difficulty", "validated", "answered"],
        postgresql_where=sa.text("state = 'selected' AND NOT (validated AND answered)"),
    )
    for table, place in (("verdict", "vote"), ("answer", "sample")):
        columns: dict[str, list[sa.Column[Any]]] = {
            "verdict": [
                sa.Column("accepted", sa.Boolean(), nullable=False),
                sa.Column("scores", postgresql.JSONB(), nullable=False, comment="1 to 5 by criterion"),
                sa.Column("reason", sa.Text(), nullable=False),
            ],
            "answer": [
                sa.Column("text", sa.Text(), nullable=False),
                sa.Column("tokens", sa.Integer(), nullable=False),
                sa.Column(
                    "checked", postgresql.JSONB(), comment="what a check of it found; NULL where nothing can be checked"
                ),
            ],
        }
        op.create_table(
            table,
            sa.Column("question_id", sa.BigInteger(), nullable=False),
            sa.Column("model", sa.Text(), nullable=False),
            sa.Column("prompt_version", sa.Text(), nullable=False),
            sa.Column(place, sa.SmallInteger(), nullable=False),
            *columns[table],
            sa.Column("job_id", sa.Uuid(), nullable=False),
            sa.Column("batch_id", sa.Uuid(), nullable=False),
            sa.Column("call_id", sa.Uuid(), nullable=False),
            sa.Column("fence", sa.Integer(), nullable=False),
            sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
            sa.ForeignKeyConstraint(
                ["question_id"], ["question.id"], name=op.f(f"fk_{table}_question_id"), ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint("question_id", "model", "prompt_version", place, name=op.f(f"pk_{table}")),
        )
    listed = "what it validates or answers; NULL of a batch that generates"
    op.add_column("batch", sa.Column("question_ids", postgresql.ARRAY(sa.BigInteger()), comment=listed))
    stopped = "the last stage that is stopped, and with it those before"
    op.add_column("job_cell", sa.Column("stopped_stage", sa.Text(), comment=stopped))
    expected = sa.Column(
        "answer_tokens", sa.Integer(), server_default="100", nullable=False, comment="an answer's, as expected"
    )
    op.add_column("job_cell", expected)
    op.add_column("call", sa.Column("stage", sa.Text(), server_default="generate", nullable=False))
    op.add_column("call", sa.Column("difficulty", sa.Text(), server_default="", nullable=False))

    for table in ("question_tally", "question_change"):
        for name in ("completion_tokens", "validated", "answered"):
            op.add_column(table, sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.execute(note_questions(OF_QUESTION))
    op.execute(question_count(OF_QUESTION, "CREATE OR REPLACE"))

    op.execute("DROP VIEW call_count")
    op.execute(PLACED)
    op.execute("DELETE FROM call_change")
    op.execute("DELETE FROM call_tally")
    for table in ("call_tally", "call_change"):
        op.add_column(table, sa.Column("stage", sa.Text(), nullable=False))
        op.add_column(table, sa.Column("difficulty", sa.Text(), nullable=False))
        op.add_column(table, sa.Column("pico_usd", sa.BigInteger(), nullable=False))
    op.drop_constraint(op.f("pk_call_tally"), "call_tally")
    op.create_primary_key(
        op.f("pk_call_tally"), "call_tally", ["job_id", "stage", "difficulty", "state", "outcome", "again"]
    )
    trigger = CALL_TRIGGER.format(more_old=", OLD.cost_usd", more_new=", NEW.cost_usd")
    for statement in (NOTE_CALL, NOTE_CALLS_GONE, trigger, CALL_COUNT, COUNT_CALLS_AGAIN):
        op.execute(statement)


OLD_NOTE_CALL = """
CREATE OR REPLACE FUNCTION note_call_change() RETURNS trigger LANGUAGE plpgsql AS $$
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
OLD_NOTE_CALLS_GONE = """
CREATE OR REPLACE FUNCTION note_calls_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO call_change (job_id, state, outcome, again, calls, input_tokens, output_tokens)
    SELECT job_id, state, COALESCE(outcome, 'in flight'), attempt > 1, -COUNT(*),
        -SUM(COALESCE(input_tokens, 0)), -SUM(COALESCE(output_tokens, 0))
    FROM went WHERE state <> 'sent' AND EXISTS (SELECT FROM job WHERE id = went.job_id) GROUP BY 1, 2, 3, 4;
    RETURN NULL;
END $$
"""
OLD_CALL_COUNT = """
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
"""
OLD_COUNT_CALLS = """
INSERT INTO call_tally (job_id, state, outcome, again, calls, input_tokens, output_tokens)
SELECT job_id, state, COALESCE(outcome, 'in flight'), attempt > 1, COUNT(*), SUM(COALESCE(input_tokens, 0)),
    SUM(COALESCE(output_tokens, 0))
FROM call WHERE state <> 'sent' GROUP BY 1, 2, 3, 4
"""


def downgrade() -> None:
    """What judges rejected stays out of exports, as discarded; verdicts and answers go."""
    op.execute("LOCK TABLE question, batch, call IN SHARE ROW EXCLUSIVE MODE")
    op.execute("UPDATE question SET state = 'discarded' WHERE state = 'rejected'")
    op.execute("DROP VIEW call_count")
    op.drop_constraint(op.f("pk_call_tally"), "call_tally")
    for table in ("call_tally", "call_change"):
        op.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
        for name in ("stage", "difficulty", "pico_usd"):
            op.drop_column(table, name)
    op.create_primary_key(op.f("pk_call_tally"), "call_tally", ["job_id", "state", "outcome", "again"])
    trigger = CALL_TRIGGER.format(more_old="", more_new="")
    for statement in (OLD_NOTE_CALL, OLD_NOTE_CALLS_GONE, trigger, OLD_CALL_COUNT, OLD_COUNT_CALLS):
        op.execute(statement)
    op.execute(note_questions(OF_QUESTION_BEFORE))
    op.execute("DROP VIEW question_count")
    op.execute(question_count(OF_QUESTION_BEFORE, "CREATE"))
    for table in ("question_tally", "question_change"):
        for name in ("completion_tokens", "validated", "answered"):
            op.drop_column(table, name)
    for table, names in (
        ("call", ("stage", "difficulty")),
        ("job_cell", ("stopped_stage", "answer_tokens")),
        ("batch", ("question_ids",)),
    ):
        for name in names:
            op.drop_column(table, name)
    for table in ("answer", "verdict"):
        op.drop_table(table)
    op.drop_index("ix_question_unfinished", "question")
    op.drop_constraint(op.f("ck_question_reason_given"), "question")
    op.drop_constraint(op.f("ck_question_state_known"), "question")
    op.create_check_constraint(op.f("ck_question_state_known"), "question", OLD_QUESTION_STATES)
    for name in ("validated", "answered", "tries", "reason", "prompt_version"):
        op.drop_column("question", name)
    op.alter_column("question", "completion_tokens", comment=None)
