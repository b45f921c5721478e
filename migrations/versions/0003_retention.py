"""retention: pruned raw replies, archived jobs"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RAW_BEFORE_PARSE = "ck_call_raw_before_parse"


def upgrade() -> None:
    op.create_table(
        "job_archive",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column(
            "progress",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the last progress, as GET /v1/jobs/{id} showed it",
        ),
        sa.Column("calls", sa.Integer(), nullable=False, comment="rows that the ledger had"),
        sa.Column(
            "spent_usd",
            sa.Numeric(precision=18, scale=12),
            nullable=False,
            comment="the sum over the ledger; equals job_budget.spent_usd",
        ),
        sa.Column("archived_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("calls >= 0 AND spent_usd >= 0", name=op.f("ck_job_archive_not_negative")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_archive_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_archive")),
    )
    op.add_column(
        "call",
        sa.Column(
            "raw_pruned_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its raw reply was cleared, long after the job ended",
        ),
    )
    op.drop_constraint(op.f(RAW_BEFORE_PARSE), "call", type_="check")
    op.create_check_constraint(
        op.f(RAW_BEFORE_PARSE), "call", "state <> 'ok' OR raw IS NOT NULL OR raw_pruned_at IS NOT NULL"
    )
    op.alter_column(
        "rejection",
        "text",
        existing_type=sa.Text(),
        nullable=True,
        comment="NULL once the raw reply that it stood in was pruned",
    )


def downgrade() -> None:
    # What was pruned comes back as empty text, and archived jobs show no more than what is left of them.
    op.execute("UPDATE rejection SET text = '' WHERE text IS NULL")
    op.alter_column("rejection", "text", existing_type=sa.Text(), nullable=False, comment=None)
    op.execute("UPDATE call SET raw = '' WHERE raw_pruned_at IS NOT NULL AND raw IS NULL")
    op.drop_constraint(op.f(RAW_BEFORE_PARSE), "call", type_="check")
    op.create_check_constraint(op.f(RAW_BEFORE_PARSE), "call", "state <> 'ok' OR raw IS NOT NULL")
    op.drop_column("call", "raw_pruned_at")
    op.drop_table("job_archive")
