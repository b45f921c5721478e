"""seen from outside: calls counted by model, what workers report, notifications, the trace of a job's POST"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KEYS = ("job_id", "stage", "difficulty", "state", "outcome", "again")
SUMS = ("calls", "input_tokens", "output_tokens", "pico_usd")


def _row(row: str, keys: tuple[str, ...], sign: str) -> str:
    """What one call adds to the sums of its keys, or takes away."""
    of_key = {"outcome": f"COALESCE({row}.outcome, 'in flight')", "again": f"{row}.attempt > 1"}
    return ", ".join([
        *(of_key.get(key, f"{row}.{key}") for key in keys),
        f"{sign}1",
        *(f"{sign}COALESCE({row}.{name}, 0)" for name in ("input_tokens", "output_tokens")),
        f"{sign}COALESCE({row}.cost_usd, 0) * 1e12",
    ])  # fmt: skip


def note_call(keys: tuple[str, ...]) -> str:
    """The triggers of 0009 with these keys."""
    into = f"INSERT INTO call_change ({', '.join([*keys, *SUMS])})"
    return f"""
CREATE OR REPLACE FUNCTION note_call_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'sent' THEN
        {into} VALUES ({_row("OLD", keys, "-")});
    END IF;
    IF NEW.state <> 'sent' THEN
        {into} VALUES ({_row("NEW", keys, "")});
    END IF;
    RETURN NULL;
END $$
"""  # noqa: S608 - all parts are constants of this module


def note_calls_gone(keys: tuple[str, ...]) -> str:
    """As above, of many calls together."""
    return f"""
CREATE OR REPLACE FUNCTION note_calls_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO call_change ({", ".join([*keys, *SUMS])})
    SELECT {_keys_of_call(keys)}, -COUNT(*), -SUM(COALESCE(input_tokens, 0)), -SUM(COALESCE(output_tokens, 0)),
        -SUM(COALESCE(cost_usd, 0)) * 1e12
    FROM went WHERE state <> 'sent' AND EXISTS (SELECT FROM job WHERE id = went.job_id)
    GROUP BY {_places(keys)};
    RETURN NULL;
END $$
"""  # noqa: S608 - as above


def call_count(keys: tuple[str, ...]) -> str:
    """The view of 0009 with these keys."""
    named = ", ".join([*keys, *SUMS])
    return f"""
CREATE VIEW call_count AS
SELECT {", ".join(keys)}, {", ".join(f"SUM({name})::bigint AS {name}" for name in SUMS)}
FROM (
    SELECT {named} FROM call_tally
    UNION ALL SELECT {named} FROM call_change
    UNION ALL SELECT {_keys_of_call(keys)}, 1, COALESCE(input_tokens, 0), COALESCE(output_tokens, 0), 0
    FROM call WHERE state = 'sent') AS noted
GROUP BY {_places(keys)} HAVING SUM(calls) <> 0
"""  # noqa: S608 - as above


def count_calls(keys: tuple[str, ...]) -> str:
    """What was counted before is counted again: nobody writes meanwhile."""
    return f"""
INSERT INTO call_tally ({", ".join([*keys, *SUMS])})
SELECT {_keys_of_call(keys)}, COUNT(*), SUM(COALESCE(input_tokens, 0)), SUM(COALESCE(output_tokens, 0)),
    SUM(COALESCE(cost_usd, 0)) * 1e12
FROM call WHERE state <> 'sent' GROUP BY {_places(keys)}
"""  # noqa: S608 - as above


def _keys_of_call(keys: tuple[str, ...]) -> str:
    of_key = {"outcome": "COALESCE(outcome, 'in flight')", "again": "attempt > 1"}
    return ", ".join(of_key.get(key, key) for key in keys)


def _places(keys: tuple[str, ...]) -> str:
    return ", ".join(str(place) for place in range(1, len(keys) + 1))


# Whoever ends or pauses a job, by whatever statement: what is to be told of it is written in the same transaction.
NOTE_JOB_CHANGE = """
CREATE FUNCTION note_job_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notification (job_id, event, reason, url)
    SELECT NEW.id, NEW.state, NEW.reason, url
    FROM (SELECT CAST(NULL AS text) AS url
          UNION ALL SELECT NEW.spec -> 'notify' ->> 'url'
          WHERE NEW.spec -> 'notify' ->> 'url' IS NOT NULL
            AND NEW.spec -> 'notify' -> 'events' ? NEW.state) AS receivers;
    RETURN NULL;
END $$
"""
JOB_CHANGED = """
CREATE TRIGGER note_change AFTER UPDATE OF state ON job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.state <> 'running')
    EXECUTE FUNCTION note_job_change()
"""


def _timestamp(name: str, *, nullable: bool = False) -> sa.Column[object]:
    default = None if nullable else sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    # The view first, as its readers do, and before the first change: a busy system is waited for once.
    op.execute("LOCK TABLE call_count, job, batch, call IN ACCESS EXCLUSIVE MODE")
    op.add_column("job", sa.Column("traceparent", sa.Text(), comment="the W3C trace context of its POST"))
    op.create_table(
        "worker_report",
        sa.Column("name", sa.Text(), nullable=False, comment="host:pid"),
        _timestamp("started_at"),
        _timestamp("seen_at"),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("calls_in_flight", sa.Integer(), nullable=False),
        sa.Column("calls_started", sa.BigInteger(), nullable=False),
        sa.Column("turn_wait_seconds", sa.Float(), nullable=False),
        sa.Column("rate_wait_seconds", sa.Float(), nullable=False),
        sa.Column("limiter_failures", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker_report")),
    )
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False, comment="the state that the job came to"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True, comment="as the job's spec names it; NULL: the server's own"),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("body", sa.Text(), nullable=True, comment="what is sent, the same each time; made before the first"),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("detail", sa.Text(), nullable=True, comment="what became of the last attempt"),
        _timestamp("created_at"),
        _timestamp("next_at"),
        _timestamp("ended_at", nullable=True),
        sa.CheckConstraint(
            "event IN ('paused', 'succeeded', 'cancelled', 'failed')", name=op.f("ck_notification_event_known")
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'given_up')", name=op.f("ck_notification_state_known")),
        sa.CheckConstraint("(ended_at IS NULL) = (state = 'pending')", name=op.f("ck_notification_ended_at_iff_over")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_notification_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
    )
    op.create_index("ix_notification_job_id", "notification", ["job_id"])
    op.create_index("ix_notification_due", "notification", ["next_at"], postgresql_where=sa.text("state = 'pending'"))
    for statement in (NOTE_JOB_CHANGE, JOB_CHANGED):
        op.execute(statement)
    _count_calls_by((*KEYS, "model"))


def _count_calls_by(keys: tuple[str, ...]) -> None:
    op.execute("DROP VIEW call_count")
    op.drop_constraint(op.f("pk_call_tally"), "call_tally")
    for table in ("call_tally", "call_change"):
        op.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
        if "model" in keys:
            op.add_column(table, sa.Column("model", sa.Text(), nullable=False))
        else:
            op.drop_column(table, "model")
    op.create_primary_key(op.f("pk_call_tally"), "call_tally", list(keys))
    for statement in (note_call(keys), note_calls_gone(keys), call_count(keys), count_calls(keys)):
        op.execute(statement)


def downgrade() -> None:
    """Notifications that are not delivered are lost."""
    # The view first, as its readers do, and before the first change: a busy system is waited for once.
    op.execute("LOCK TABLE call_count, job, batch, call IN ACCESS EXCLUSIVE MODE")
    _count_calls_by(KEYS)
    op.execute("DROP TRIGGER note_change ON job")
    op.execute("DROP FUNCTION note_job_change()")
    op.drop_table("notification")
    op.drop_table("worker_report")
    op.drop_column("job", "traceparent")
